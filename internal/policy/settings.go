// Package policy takes the decisions that need no I/O: who may pass the gate, which
// methods serve, where the code stands in what was typed, which reply attributes an
// accept carries, and when failures lock. Nothing here reads a clock.
package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/login"
	"countersign/internal/message"
)

// Settings are the group's defaults (CLI: policy show, policy set). Durations are whole
// seconds in JSON.
type Settings struct {
	Tries          int               `json:"tries" doc:"wrong second factors in a row that lock a user"`
	Lock           Seconds           `json:"lock_seconds" doc:"how long they are locked"`
	FirstTries     int               `json:"first_factor_tries" doc:"wrong passwords in a row that lock a user"`
	FirstLock      Seconds           `json:"first_factor_lock_seconds" doc:"how long"`
	Handle         Seconds           `json:"challenge_seconds" doc:"how long a challenge may be answered"`
	Skew           int               `json:"totp_window" doc:"time steps accepted on each side of now"`
	Ahead          int               `json:"hotp_window" doc:"counters looked ahead"`
	Directory      Seconds           `json:"directory_seconds" doc:"time-out of one directory operation"`
	Attempt        Seconds           `json:"attempt_seconds" doc:"time-out of one leg"`
	SourceFailures int               `json:"source_failures_per_minute" doc:"failures from one source that throttle it"`
	StrangerBurst  int               `json:"stranger_burst" doc:"requests without a session (sign-ins, set-ups, activations of devices) that one address may make at once; of IPv6 a /64 counts as one"`
	StrangerRate   int               `json:"stranger_per_minute" doc:"and how many a minute after that. Behind one address may be many people, and behind a reverse proxy that trusted_proxies does not name are all of them"`
	Retain         int               `json:"trail_days" doc:"days that the trail is kept"`
	Remember       Seconds           `json:"remember_seconds" doc:"how long somebody who has proven both factors passes without the second at the same application from the same address; 0: never. Policy rules may say otherwise"`
	Prompts        int               `json:"prompts_per_user_hour" doc:"how often one user is asked by message, push or call in an hour"`
	PIN            string            `json:"pin" enum:",yes,no" doc:"a PIN with each code: yes: from everybody; no: from nobody; empty: from those who have one"`
	PINLength      int               `json:"pin_length" doc:"fewest digits of a PIN"`
	PINWeak        bool              `json:"pin_weak" doc:"PINs that are easy to guess are taken: three equal digits in a row, three that follow each other, four that stand in the phone number"`
	PINHistory     int               `json:"pin_history" doc:"how many PINs before cannot be taken again; 0: any can"`
	PINDays        int               `json:"pin_days" doc:"after how many days a PIN has to be changed; 0: never"`
	PassApproval   bool              `json:"pass_approval" doc:"a temporary pass, or an invitation, serves only after another administrator than its issuer has approved it; owners alone change this"`
	FraudBlocks    bool              `json:"fraud_blocks" doc:"users who say that a sign-in was not theirs are kept out"`
	FraudBlock     Seconds           `json:"fraud_block_seconds" doc:"for how long; at least as long as a challenge may be open"`
	SelfService    []string          `json:"self_service" doc:"what users may do for themselves in the portal: totp, passkey, recovery, password, phone, pin, push, call, sms; email: get codes by mail to the address in their profile; remove_last: take away their last second factor"`
	PerUser        int               `json:"messages_per_user_hour" doc:"codes sent to one user in an hour"`
	PerNumber      int               `json:"messages_per_number_hour" doc:"codes sent to one number or address in an hour"`
	PerCountry     int               `json:"messages_per_country_hour" doc:"text messages sent to numbers of one country in an hour"`
	Wait           Seconds           `json:"wait_seconds" doc:"how long a push or a call may be answered"`
	PromptGap      Seconds           `json:"prompt_gap_seconds" doc:"between two pushes to one user; 0: none"`
	Devices        int               `json:"devices_per_user" doc:"devices for push that one user may have"`
	Language       string            `json:"message_language" doc:"of messages to users who have chosen none: en, de, or another that there are texts in"`
	Texts          map[string]string `json:"message_texts,omitempty" doc:"texts of messages by purpose and language (sms.en, mail.de, mail_subject.en, notice.en, notice_subject.en) instead of the built-in ones; {code}, {application} and so on are filled in"`
	PasskeySite    string            `json:"passkey_site" doc:"domain name that passkeys belong to (the RP ID): that of portal and console, or one above it, as mfa.corp.example; empty: there are no passkeys. Passkeys of one site are worth nothing at another"`
	PasskeyOrigins []string          `json:"passkey_origins" doc:"further addresses that portal and console are opened at, below passkey_site, as https://nyc1.mfa.corp.example:8443; passkey_site itself is one, at whatever port"`
	PasskeyVerify  string            `json:"passkey_verification" enum:"required,preferred,discouraged" doc:"whether a passkey as second factor has to ask its user for PIN, finger or face; one that stands alone always has to"`
	PasskeyAlone   []string          `json:"passkey_alone" doc:"applications (portal, console) where a passkey stands for both factors, without a password"`
	PasskeyAllow   []string          `json:"passkey_models_allow" doc:"AAGUIDs of the models that may be enrolled; empty: all"`
	PasskeyDeny    []string          `json:"passkey_models_deny" doc:"AAGUIDs of the models that may not"`
	Rules          Rules             `json:"-"`
	Domains        []login.Domain    `json:"login_domains" doc:"domains that are ours: CORP=corp.example"`
}

// Seconds is a duration that JSON holds in whole seconds.
type Seconds int

// Duration returns s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Defaults returns the settings of a new group.
func Defaults() Settings {
	return Settings{Tries: 5, Lock: 900, FirstTries: 10, FirstLock: 900, Handle: 120, Skew: 1, Ahead: 10,
		Directory: 5, Attempt: 10, SourceFailures: 30, StrangerBurst: 30, StrangerRate: 60, Retain: 365, Prompts: 30, PINLength: 4, PINHistory: 5, FraudBlocks: true, FraudBlock: 86400,
		Wait: 60, PromptGap: 5, Devices: 5,
		PerUser: 10, PerNumber: 10, PerCountry: 500, Language: "en",
		PasskeyVerify: VerifyPreferred,
		SelfService:   []string{SelfTOTP, SelfPasskey, SelfRecovery, SelfPassword, SelfPhone, SelfPIN, SelfPush, SelfCall, SelfSMS}}
}

// Check reports the first setting that is out of bounds.
func (s Settings) Check() error {
	for _, b := range []struct {
		name          string
		got, min, max int
	}{
		{"tries", s.Tries, 1, 100}, {"lock_seconds", int(s.Lock), 1, 31536000},
		{"first_factor_tries", s.FirstTries, 1, 1000}, {"first_factor_lock_seconds", int(s.FirstLock), 1, 31536000},
		{"challenge_seconds", int(s.Handle), 10, 900}, {"totp_window", s.Skew, 0, 10}, {"hotp_window", s.Ahead, 1, 100},
		{"directory_seconds", int(s.Directory), 1, 60}, {"attempt_seconds", int(s.Attempt), 1, 120},
		{"source_failures_per_minute", s.SourceFailures, 1, 100000}, {"stranger_burst", s.StrangerBurst, 1, 10000},
		{"stranger_per_minute", s.StrangerRate, 1, 60000}, {"trail_days", s.Retain, 1, 36500},
		{"remember_seconds", int(s.Remember), 0, MaxRemember}, {"prompts_per_user_hour", s.Prompts, 0, 1000},
		{"pin_length", s.PINLength, 4, MaxPIN}, {"pin_history", s.PINHistory, 0, 10}, {"pin_days", s.PINDays, 0, 3650},
		{"fraud_block_seconds", int(s.FraudBlock), 0, 315360000},
		{"wait_seconds", int(s.Wait), 10, 300},
		{"prompt_gap_seconds", int(s.PromptGap), 0, 300}, {"devices_per_user", s.Devices, 1, 20},
		{"messages_per_user_hour", s.PerUser, 1, 1000}, {"messages_per_number_hour", s.PerNumber, 1, 1000}, {"messages_per_country_hour", s.PerCountry, 1, 1000000},
	} {
		if b.got < b.min || b.got > b.max {
			return fmt.Errorf("policy %s = %d: must be between %d and %d", b.name, b.got, b.min, b.max)
		}
	}
	if len(s.Language) != 2 || strings.ToLower(s.Language) != s.Language {
		return fmt.Errorf("policy message_language = %q: want two letters, as in en", s.Language)
	}
	if s.PIN != "" && s.PIN != string(Yes) && s.PIN != string(No) {
		return fmt.Errorf("policy pin = %q: want yes, no, or nothing for those who have one", s.PIN)
	}
	for name, text := range s.Texts {
		if err := message.Check(name, text); err != nil {
			return fmt.Errorf("policy message_texts: %w", err)
		}
	}
	for _, w := range s.SelfService {
		if !slices.Contains(selfService, w) {
			return fmt.Errorf("policy self_service: %q is none of %s", w, strings.Join(selfService, ", "))
		}
	}
	return s.checkPasskeys()
}

// What users may do for themselves in the portal.
const (
	SelfTOTP       = "totp"        // enrol and remove tokens
	SelfPasskey    = "passkey"     // enrol and remove passkeys
	SelfRecovery   = "recovery"    // make recovery codes
	SelfPassword   = "password"    // change the local password
	SelfPhone      = "phone"       // change the phone number
	SelfPIN        = "pin"         // set and change the PIN
	SelfPush       = "push"        // activate and remove devices
	SelfCall       = "call"        // add, change and remove numbers that are called
	SelfSMS        = "sms"         // and those that get codes by text message
	SelfEmail      = "email"       // get codes by mail to the address in the profile; not in a new group
	SelfRemoveLast = "remove_last" // remove the last second factor
)

var selfService = []string{SelfTOTP, SelfPasskey, SelfRecovery, SelfPassword, SelfPhone, SelfPIN, SelfPush, SelfCall, SelfSMS, SelfEmail, SelfRemoveLast}

// WantsPIN reports whether somebody, somewhere, is asked for a PIN though they have none.
func (s Settings) WantsPIN() bool {
	return s.PIN == string(Yes) || slices.ContainsFunc(s.Rules.list, func(r ready) bool { return !r.Disabled && r.PIN == Yes })
}

// Self reports whether users may do that for themselves.
func (s Settings) Self(what string) bool { return slices.Contains(s.SelfService, what) }
