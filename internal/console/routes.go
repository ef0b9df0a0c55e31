package console

import (
	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

// one is a set of one permission.
func one(p mfa.Permission) mfa.Permissions { return mfa.SetOf(p) }

// routes are all pages and acts of somebody who is signed in. A form's path is that of the
// page that it is on and a verb behind it.
func (c *Console) routes() []route {
	if c.Coordinator != nil {
		return c.portalRoutes()
	}
	routes := []route{
		{"GET /{$}", one(mfa.MayReadStatus), false, statusPage},
		{"GET /live", one(mfa.MayReadStatus), false, statusLive},
		{"POST /groups/{group}/code", one(mfa.MayOwn), true, joiningCode},
	}
	routes = append(routes, c.groupRoutes()...)
	routes = append(routes, c.userRoutes()...)
	routes = append(routes, c.passRoutes()...)
	routes = append(routes, c.applicationRoutes()...)
	routes = append(routes, c.recordRoutes()...)
	routes = append(routes, c.administratorRoutes()...)
	routes = append(routes, c.accountRoutes()...)
	return append(routes, c.settingsRoutes()...)
}

// groupRoutes are those about groups and their servers, as a coordinator sees them.
func (c *Console) groupRoutes() []route {
	return []route{
		{"GET /groups", one(mfa.MayReadStatus), false, groupsPage},
		{"GET /groups/{group}", one(mfa.MayReadStatus), false, groupPage},
		{"POST /groups/{group}/remove", one(mfa.MayOwn), true, retireServer},
	}
}

// userRoutes are those about users and their credentials.
func (c *Console) userRoutes() []route {
	var (
		users = one(mfa.MayReadUsers)
		edit  = mfa.SetOf(admin.UserChangers...)
		give  = mfa.SetOf(enroll.Givers...)
	)
	return []route{
		{"GET /users", users, false, usersPage},
		{"GET /users/new", one(mfa.MayAddUser), false, newUserPage},
		{"POST /users/new/create", one(mfa.MayAddUser), true, createUser},
		{"GET /users/bulk", users, false, noBulk},
		{"POST /users/bulk/look", bulkNeeds(), false, lookBulk},
		{"POST /users/bulk/do", bulkNeeds(), true, doBulk},
		{"GET /users/import", one(mfa.MayChangeScope), false, importPage},
		{"POST " + importPath, one(mfa.MayChangeScope), false, lookImport},
		{"POST /users/import/do", one(mfa.MayChangeScope), true, doImport},
		{"GET /users/{id}", users, false, userPage},
		{"POST /users/{id}/edit", edit, true, editUser},
		{"POST /users/{id}/state", one(mfa.MayChangeState), true, changeState},
		{"POST /users/{id}/password", one(mfa.MayChangePassword), true, changePassword},
		{"POST /users/{id}/pin", one(mfa.MayChangePassword), true, setPIN},
		{"POST /users/{id}/pin-age", one(mfa.MayChangePassword), true, agePIN},
		{"POST /users/{id}/verify", one(mfa.MayVerifyCaller), false, verifyCaller},
		{"POST /users/{id}/block", one(mfa.MayBlock), false, blockUser},
		{"POST /users/{id}/unblock", one(mfa.MayBlock), true, unblockUser},
		{"POST /users/{id}/unlock", one(mfa.MayBlock), true, unlockUser},
		{"POST /users/{id}/remove", one(mfa.MayRemoveUser), true, removeUser},
		{"POST /users/{id}/token", one(mfa.MayManageToken), true, addToken},
		{"POST /users/{id}/prove", one(mfa.MayManageToken), false, proveToken},
		{"POST /users/{id}/device", one(mfa.MayActivateApp), true, addDevice},
		{"POST /users/{id}/number", one(mfa.MayChangePhone), true, addNumber},
		{"POST /users/{id}/number/send", one(mfa.MayChangePhone), false, sendNumber},
		{"POST /users/{id}/number/prove", one(mfa.MayChangePhone), false, proveNumber},
		{"POST /users/{id}/recovery", one(mfa.MayChangeMethod), true, addRecovery},
		{"POST /users/{id}/invite", one(mfa.MayIssuePass), true, inviteUser},
		{"POST /users/{id}/switch", give, true, switchCredential},
		{"POST /users/{id}/drop", give, true, dropCredential},
		{"POST /users/{id}/sign-out", one(mfa.MayBlock), false, signOutUser},
		{"POST /users/{id}/test", one(mfa.MayTest), false, testUser},
	}
}

// applicationRoutes are those about what is protected.
func (c *Console) applicationRoutes() []route {
	settings, change := one(mfa.MayReadSettings), one(mfa.MayChangeSettings)
	return []route{
		{"GET /applications", settings, false, applicationsPage},
		{"GET /protect", change, false, protectPage},
		{"GET /protect/{profile}", change, false, protectProfile},
		{"POST /protect/{profile}/create", change, true, createApplication},
		{"GET /applications/{name}", settings, false, applicationPage},
		{"POST /applications/{name}/edit", change, true, editApplication},
		{"POST /applications/{name}/remove", change, true, removeApplication},
	}
}

// recordRoutes are those about what happened.
func (c *Console) recordRoutes() []route {
	audit, reports := one(mfa.MayReadAudit), mfa.SetOf(mfa.MayReadAudit, mfa.MayReadUsers, mfa.MayReadSettings)
	return []route{
		{"GET /attempts", audit, false, attemptsPage},
		{"GET /attempts.csv", audit, false, attemptsFile},
		{"GET /attempts/{id}", mfa.SetOf(mfa.MayReadAudit, mfa.MayReadUsers), false, attemptPage},
		{"GET /reports", reports, false, firstReport},
		{"GET /reports/{name}", reports, false, reportPage},
		{"GET /reports/{name}/{file}", reports, false, reportFile},
		{"GET /audit", audit, false, auditPage},
	}
}
