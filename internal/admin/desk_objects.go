package admin

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
)

// The rest of the desk: what is about no single user. Each method is the Service's own
// behind the permission that it asks for.

func (d Desk) ListApplications(ctx context.Context) (ApplicationList, error) {
	return allowed(d, mfa.MayReadSettings, func() (ApplicationList, error) { return d.s.ListApplications(ctx) })
}

func (d Desk) Application(ctx context.Context, name string) (Application, error) {
	return allowed(d, mfa.MayReadSettings, func() (Application, error) { return d.s.Application(ctx, name) })
}

func (d Desk) AddApplication(ctx context.Context, c ApplicationChange) (Application, error) {
	return allowed(d, mfa.MayChangeSettings, func() (Application, error) { return d.s.AddApplication(ctx, d.by.By, c) })
}

func (d Desk) SetApplication(ctx context.Context, name string, c ApplicationChange) (Application, error) {
	if err := d.mayOnApplication(name); err != nil {
		return Application{}, err
	}
	return d.s.SetApplication(ctx, d.by.By, name, c)
}

func (d Desk) RemoveApplication(ctx context.Context, name string) error {
	if err := d.mayOnApplication(name); err != nil {
		return err
	}
	return d.s.RemoveApplication(ctx, d.by.By, name)
}

func (d Desk) ListDirectories(ctx context.Context) (DirectoryList, error) {
	return allowed(d, mfa.MayReadSettings, func() (DirectoryList, error) { return d.s.ListDirectories(ctx) })
}

func (d Desk) Directory(ctx context.Context, name string) (Directory, error) {
	return allowed(d, mfa.MayReadSettings, func() (Directory, error) { return d.s.Directory(ctx, name) })
}

func (d Desk) AddDirectory(ctx context.Context, c DirectoryChange) (Directory, error) {
	return allowed(d, mfa.MayChangeSettings, func() (Directory, error) { return d.s.AddDirectory(ctx, d.by.By, c) })
}

func (d Desk) SetDirectory(ctx context.Context, name string, c DirectoryChange) (Directory, error) {
	if err := d.mayOnDirectory(ctx, name); err != nil {
		return Directory{}, err
	}
	return d.s.SetDirectory(ctx, d.by.By, name, c)
}

func (d Desk) RemoveDirectory(ctx context.Context, name string) error {
	if err := d.mayOnDirectory(ctx, name); err != nil {
		return err
	}
	return d.s.RemoveDirectory(ctx, d.by.By, name)
}

func (d Desk) TestDirectory(ctx context.Context, name string, r DirectoryTest) (CheckList, error) {
	return allowed(d, mfa.MayChangeSettings, func() (CheckList, error) { return d.s.TestDirectory(ctx, d.by.By, name, r) })
}

func (d Desk) ListGateways(ctx context.Context) (GatewayList, error) {
	return allowed(d, mfa.MayReadSettings, func() (GatewayList, error) { return d.s.ListGateways(ctx) })
}
func (d Desk) Gateway(ctx context.Context, name string) (Gateway, error) {
	return allowed(d, mfa.MayReadSettings, func() (Gateway, error) { return d.s.Gateway(ctx, name) })
}
func (d Desk) Profiles(ctx context.Context) (ProviderProfileList, error) {
	return allowed(d, mfa.MayReadSettings, func() (ProviderProfileList, error) { return d.s.Profiles(ctx) })
}
func (d Desk) AddGateway(ctx context.Context, c GatewayChange) (Gateway, error) {
	return allowed(d, mfa.MayChangeSettings, func() (Gateway, error) { return d.s.AddGateway(ctx, d.by.By, c) })
}
func (d Desk) SetGateway(ctx context.Context, name string, c GatewayChange) (Gateway, error) {
	return allowed(d, mfa.MayChangeSettings, func() (Gateway, error) { return d.s.SetGateway(ctx, d.by.By, name, c) })
}
func (d Desk) RemoveGateway(ctx context.Context, name string) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	return d.s.RemoveGateway(ctx, d.by.By, name)
}
func (d Desk) TestGateway(ctx context.Context, name string, r GatewayTest) (CheckList, error) {
	return allowed(d, mfa.MayChangeSettings, func() (CheckList, error) { return d.s.TestGateway(ctx, d.by.By, name, r) })
}
func (d Desk) ListRecordings(ctx context.Context) (RecordingList, error) {
	return allowed(d, mfa.MayReadSettings, func() (RecordingList, error) { return d.s.ListRecordings(ctx) })
}
func (d Desk) PutRecording(ctx context.Context, name string, u RecordingUpload) (Recording, error) {
	return allowed(d, mfa.MayChangeSettings, func() (Recording, error) { return d.s.PutRecording(ctx, d.by.By, name, u) })
}
func (d Desk) RemoveRecording(ctx context.Context, name string) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	return d.s.RemoveRecording(ctx, d.by.By, name)
}
func (d Desk) BlastRADIUS(ctx context.Context) (BlastRADIUS, error) {
	return allowed(d, mfa.MayReadSettings, func() (BlastRADIUS, error) { return d.s.BlastRADIUS(ctx) })
}

func (d Desk) Policy(ctx context.Context) (Policy, error) {
	return allowed(d, mfa.MayReadSettings, func() (Policy, error) { return d.s.Policy(ctx) })
}

func (d Desk) SetPolicy(ctx context.Context, object []byte, ifMatch, confirm string) (Policy, error) {
	return allowed(d, mfa.MayChangeSettings, func() (Policy, error) { return d.s.setPolicy(ctx, d.by, object, ifMatch, confirm) })
}

func (d Desk) ListRules(ctx context.Context) (PolicyRuleList, error) {
	return allowed(d, mfa.MayReadSettings, func() (PolicyRuleList, error) { return d.s.ListRules(ctx) })
}

func (d Desk) Rule(ctx context.Context, name string) (PolicyRule, error) {
	return allowed(d, mfa.MayReadSettings, func() (PolicyRule, error) { return d.s.Rule(ctx, name) })
}

func (d Desk) AddRule(ctx context.Context, c PolicyRuleChange) (PolicyRule, error) {
	return allowed(d, mfa.MayChangeSettings, func() (PolicyRule, error) { return d.s.AddRule(ctx, d.by.By, c) })
}

func (d Desk) SetRule(ctx context.Context, name string, c PolicyRuleChange) (PolicyRule, error) {
	return allowed(d, mfa.MayChangeSettings, func() (PolicyRule, error) { return d.s.SetRule(ctx, d.by.By, name, c) })
}

func (d Desk) RemoveRule(ctx context.Context, name string) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	return d.s.RemoveRule(ctx, d.by.By, name)
}

func (d Desk) MoveRule(ctx context.Context, name string, m PolicyRuleMove) (PolicyRule, error) {
	return allowed(d, mfa.MayChangeSettings, func() (PolicyRule, error) { return d.s.MoveRule(ctx, d.by.By, name, m) })
}

func (d Desk) ListKeys(ctx context.Context) (KeyList, error) {
	return allowed(d, mfa.MayReadSettings, func() (KeyList, error) { return d.s.ListKeys(ctx) })
}

func (d Desk) RotateKeys(ctx context.Context) (KeyList, error) {
	return allowed(d, mfa.MayChangeSettings, func() (KeyList, error) { return d.s.RotateKeys(ctx, d.by.By) })
}

func (d Desk) ListAPITokens(ctx context.Context) (APITokenList, error) {
	return allowed(d, mfa.MayReadSettings, func() (APITokenList, error) { return d.s.ListAPITokens(ctx) })
}

func (d Desk) CreateAPIToken(ctx context.Context, r APITokenRequest) (APIToken, error) {
	return allowed(d, mfa.MayOwn, func() (APIToken, error) { return d.s.CreateAPIToken(ctx, d.by.By, r) })
}

func (d Desk) RevokeAPIToken(ctx context.Context, name string) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	return d.s.RevokeAPIToken(ctx, d.by.By, name)
}

func (d Desk) ListAdministrators(ctx context.Context) (AdministratorList, error) {
	return allowed(d, mfa.MayReadSettings, func() (AdministratorList, error) { return d.s.ListAdministrators(ctx) })
}

func (d Desk) Administrator(ctx context.Context, login string) (Administrator, error) {
	return allowed(d, mfa.MayReadSettings, func() (Administrator, error) { return d.s.Administrator(ctx, login) })
}

func (d Desk) AddAdministrator(ctx context.Context, c AdministratorChange) (Administrator, error) {
	return allowed(d, mfa.MayOwn, func() (Administrator, error) { return d.s.AddAdministrator(ctx, d.by.By, c) })
}

func (d Desk) SetAdministrator(ctx context.Context, login string, c AdministratorChange) (Administrator, error) {
	return allowed(d, mfa.MayOwn, func() (Administrator, error) { return d.s.SetAdministrator(ctx, d.by.By, login, c) })
}

// RemoveAdministrator takes a role away; the last owner's only by root on a server, who says so.
func (d Desk) RemoveAdministrator(ctx context.Context, login string, lastOwner bool) error {
	if err := d.may(mfa.MayOwn); err != nil {
		return err
	}
	if lastOwner && !d.by.Root {
		return fmt.Errorf("last_owner: %w: only root on a server may take the last owner's role, by its unix socket", mfa.ErrForbidden)
	}
	return d.s.RemoveAdministrator(ctx, d.by.By, login, lastOwner)
}

func (d Desk) SetupLink(ctx context.Context) (SetupLink, error) {
	return allowed(d, mfa.MayOwn, func() (SetupLink, error) { return d.s.SetupLink(ctx, d.by.By) })
}

func (d Desk) Status(ctx context.Context) (Status, error) {
	return allowed(d, mfa.MayReadStatus, func() (Status, error) { return d.s.Status(ctx) })
}

func (d Desk) Servers(ctx context.Context) (MemberList, error) {
	return allowed(d, mfa.MayReadStatus, func() (MemberList, error) { return d.s.Servers(ctx) })
}

func (d Desk) Doctor(ctx context.Context) (CheckList, error) {
	return allowed(d, mfa.MayChangeSettings, func() (CheckList, error) { return d.s.Doctor(ctx) })
}

func (d Desk) SetLogLevel(ctx context.Context, l LogLevel) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	return d.s.SetLogLevel(ctx, d.by.By, l)
}

func (d Desk) CreateActivation(ctx context.Context, r ActivationRequest) (ActivationCode, error) {
	return allowed(d, mfa.MayOwn, func() (ActivationCode, error) { return d.s.CreateActivation(ctx, d.by.By, r) })
}

func (d Desk) ForgetServer(ctx context.Context, name string) (Removed, error) {
	return allowed(d, mfa.MayOwn, func() (Removed, error) { return d.s.ForgetServer(ctx, d.by.By, name) })
}

func (d Desk) LeaveGroup(ctx context.Context, r LeaveRequest) (Removed, error) {
	return allowed(d, mfa.MayOwn, func() (Removed, error) { return d.s.LeaveGroup(ctx, d.by.By, r) })
}

func (d Desk) PromoteServer(ctx context.Context, r PromotionRequest) (mfa.Promotion, error) {
	return allowed(d, mfa.MayOwn, func() (mfa.Promotion, error) { return d.s.PromoteServer(ctx, d.by.By, r) })
}

func (d Desk) PromoteDisaster(ctx context.Context, r DisasterRequest) (mfa.DisasterPromotion, error) {
	return allowed(d, mfa.MayOwn, func() (mfa.DisasterPromotion, error) { return d.s.PromoteDisaster(ctx, d.by.By, r) })
}

func (d Desk) ReleaseHold(ctx context.Context) (Released, error) {
	return allowed(d, mfa.MayOwn, func() (Released, error) { return d.s.ReleaseHold(ctx, d.by.By) })
}

func (d Desk) ListParked(ctx context.Context) (ParkedList, error) {
	return allowed(d, mfa.MayReadSettings, func() (ParkedList, error) { return d.s.ListParked(ctx) })
}

func (d Desk) ApplyParked(ctx context.Context, id string, r ParkedRequest) (ParkedChange, error) {
	return allowed(d, mfa.MayOwn, func() (ParkedChange, error) { return d.s.ApplyParked(ctx, d.by.By, id, r) })
}

func (d Desk) DiscardParked(ctx context.Context, id string) (ParkedChange, error) {
	return allowed(d, mfa.MayOwn, func() (ParkedChange, error) { return d.s.DiscardParked(ctx, d.by.By, id) })
}
