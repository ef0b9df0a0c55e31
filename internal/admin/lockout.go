package admin

import (
	"slices"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// keepsConsole refuses to switch off the application that the console signs people in as: nobody
// could sign in to switch it on again, or prove both factors for anything that is dangerous.
func keepsConsole(a mfa.Application) error {
	if a.Kind == mfa.KindWeb && a.Name == ConsoleApplication && a.Disabled {
		return invalid("disabled: nobody could sign in to the console any more, not even to take it back; listen.console in the node file says at which address a server has the console")
	}
	return nil
}

// admitsToConsole refuses a policy by which nobody could sign in to the console any more, whoever
// they are and wherever they come from; one that was so before may stay.
func admitsToConsole(apps []mfa.Application, before, after []policy.Rule) error {
	var console mfa.ApplicationID // none before somebody has signed in
	for _, a := range apps {
		if a.Name == ConsoleApplication {
			console = a.ID
		}
	}
	bars := barring(after, console)
	if bars == "" || barring(before, console) != "" {
		return nil
	}
	return invalid("rule %s: nobody could sign in to the console any more, not even to take it back: give it a condition (the applications that it is for, without console), or put a rule before it that lets somebody in", bars)
}

// barring names the rule that keeps everybody out of the console, or is "". There both factors
// are always wanted, so one that lets the first be enough lets nobody in.
func barring(rules []policy.Rule, console mfa.ApplicationID) string {
	for _, r := range rules {
		switch {
		case r.Disabled, r.Access == "", len(r.Applications) > 0 && !slices.Contains(r.Applications, console):
		case r.Access == policy.AccessBoth:
			return ""
		case len(r.Users)+len(r.Tags)+len(r.Groups)+len(r.Networks)+len(r.Outside)+len(r.Countries)+len(r.OutsideCountries) == 0 && r.Hours == "":
			return r.Name
		}
	}
	return ""
}
