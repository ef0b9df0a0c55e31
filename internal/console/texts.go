package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/message"
	"countersign/internal/mfa"
	"countersign/internal/smpp"
	"countersign/internal/web"
)

// messageText is one text that is sent to users. The text text.PURPOSE says what for.
type messageText struct {
	Name         string // sms.de
	Purpose      string
	Language     string
	Text         string // as it is sent
	Own          bool   // an administrator's
	BuiltIn      string // "": there is none in that language
	Placeholders []string
	Preview      string // as somebody would get it
	Parts        int    // of a text message; 0: it is none
	Tag          string
}

// textNamed is one text as it is.
func textNamed(p admin.Policy, purpose, language string) messageText {
	name := purpose + "." + language
	m := messageText{Name: name, Purpose: purpose, Language: language, Text: p.Texts[name], Own: p.Texts[name] != "", BuiltIn: message.BuiltIn(name),
		Placeholders: message.Placeholders(purpose), Tag: p.ETag()}
	if !m.Own {
		m.Text = m.BuiltIn
	}
	return m.previewed()
}

// previewed fills in what the text would look like.
func (m messageText) previewed() messageText {
	if m.Preview = message.Preview(m.Text); m.Purpose == message.SMS && m.Text != "" {
		m.Parts = smpp.Parts(m.Preview)
	}
	return m
}

// textsPage lists them by language.
func textsPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, err := c.desk(v).Policy(r.Context())
	if err != nil {
		return err
	}
	languages := message.Languages(p.Texts)
	if l := r.URL.Query().Get("language"); l != "" && !slices.Contains(languages, l) && message.Check(message.NoticeSubject+"."+l, "") == nil {
		languages = append(languages, l)
	}
	type group struct {
		Language string
		Texts    []messageText
	}
	var all []group
	for _, l := range languages {
		g := group{Language: l}
		for _, purpose := range message.Purposes() {
			g.Texts = append(g.Texts, textNamed(p, purpose, l))
		}
		all = append(all, g)
	}
	c.show(w, r, http.StatusOK, "texts", view{Nav: "settings", Sub: "texts", Who: v, Data: all})
	return nil
}

// textOf is the text that the path names.
func (c *Console) textOf(r *http.Request, v *visitor) (messageText, error) {
	p, err := c.desk(v).Policy(r.Context())
	if err != nil {
		return messageText{}, err
	}
	purpose, language, _ := strings.Cut(r.PathValue("name"), ".")
	if !slices.Contains(message.Purposes(), purpose) || message.Check(message.NoticeSubject+"."+language, "") != nil {
		return messageText{}, mfa.ErrNotFound
	}
	return textNamed(p, purpose, language), nil
}

func textPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	m, err := c.textOf(r, v)
	if err != nil {
		return err
	}
	c.showText(w, r, v, http.StatusOK, m, "")
	return nil
}

func (c *Console) showText(w http.ResponseWriter, r *http.Request, v *visitor, status int, m messageText, said string) {
	c.show(w, r, status, "text", view{Nav: "settings", Sub: "texts", Title: "title.text", Who: v, Data: m, Error: said})
}

// previewText shows what was typed as somebody would get it, and saves nothing.
func previewText(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	m, err := c.textOf(r, v)
	if err != nil {
		return err
	}
	m.Text = typedText(r)
	m = m.previewed()
	if err := message.Check(m.Name, m.Text); m.Text != "" && err != nil {
		c.showText(w, r, v, http.StatusUnprocessableEntity, m, err.Error())
		return nil
	}
	c.showText(w, r, v, http.StatusOK, m, "")
	return nil
}

// typedText has the line ends of the texts, not those of forms.
func typedText(r *http.Request) string {
	return strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n")
}

// editText saves a text; an empty one, or one like the built-in, is the built-in again.
func editText(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	m, err := c.textOf(r, v)
	if err != nil {
		return err
	}
	now := m
	m.Text = typedText(r)
	save := m.Text
	if save == m.BuiltIn {
		save = ""
	}
	object, err := json.Marshal(map[string]any{"message_texts": map[string]string{m.Name: save}})
	if err == nil {
		_, err = c.desk(v).SetPolicy(r.Context(), object, r.PostFormValue("etag"), "")
	}
	switch {
	case errors.Is(err, mfa.ErrChanged):
		c.showText(w, r, v, http.StatusConflict, now, c.say(r, "changed"))
		return nil
	case mistake(err):
		c.showText(w, r, v, web.StatusOf(err), m.previewed(), err.Error())
		return nil
	case err != nil:
		return err
	}
	done(w, r, "/texts/"+m.Name, "done.saved")
	return nil
}
