package console

import (
	"fmt"
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// backupPath is where a backup is asked for.
const backupPath = "/backup/create"

// backupTime is how long a backup may take to be sent.
const backupTime = time.Hour

// backupList is what the page of backups shows.
type backupList struct {
	admin.BackupList
	Last *admin.VerifiedBackup // nil: no restore was ever verified
	Kept string                // the form that was filled in before the proof
}

func backupPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return c.showBackup(w, r, v, http.StatusOK, "")
}

func (c *Console) showBackup(w http.ResponseWriter, r *http.Request, v *visitor, status int, said string) error {
	all, err := c.desk(v).ListBackups(r.Context())
	switch {
	case web.StatusOf(err) == http.StatusServiceUnavailable && said == "": // a backup can be made all the same
		said = err.Error()
	case err != nil:
		return err
	}
	l := backupList{BackupList: all, Kept: r.URL.Query().Get("kept")}
	if len(all.Verified) > 0 {
		l.Last = &all.Verified[0]
	}
	c.show(w, r, status, "backup", view{Nav: "settings", Sub: "backup", Who: v, Data: l, Error: said})
	return nil
}

// sent is a file that is sent to the browser; its name goes ahead of the first byte.
type sent struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (s *sent) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/octet-stream")
		s.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", s.name))
	}
	return s.w.Write(b)
}

// makeBackup sends one encrypted file. What goes wrong before its first byte is said on the
// page; after that the connection ends in the middle, so that nobody takes it for a whole one.
func makeBackup(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	passphrase := secret.FromString(r.PostFormValue("passphrase"))
	if !passphrase.Equal(secret.FromString(r.PostFormValue("again"))) {
		return c.showBackup(w, r, v, http.StatusUnprocessableEntity, c.say(r, "backup.differ"))
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(backupTime))
	out := &sent{w: w, name: fmt.Sprintf("%s-%s.cs", c.GroupName, c.Now().UTC().Format("20060102-150405"))}
	err := c.desk(v).Backup(r.Context(), passphrase, out)
	switch {
	case err == nil:
		return nil
	case out.begun:
		c.Log.Error("console: a backup broke off", "by", v.Caller.By, "error", err)
		panic(http.ErrAbortHandler)
	case mistake(err):
		return c.showBackup(w, r, v, web.StatusOf(err), err.Error())
	}
	return err
}

func keysPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.desk(v).ListKeys(r.Context())
	if err != nil {
		return err
	}
	page := view{Nav: "settings", Sub: "keys", Who: v, Data: all}
	if r.Header.Get(partHeader) != "" {
		c.render(w, r, http.StatusOK, "keys", "live", page)
		return nil
	}
	c.show(w, r, http.StatusOK, "keys", page)
	return nil
}

func rotateKeys(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	if _, err := c.desk(v).RotateKeys(r.Context()); err != nil {
		return err
	}
	done(w, r, "/keys", "done.rotated")
	return nil
}
