package phone

import "testing"

func TestParse(t *testing.T) {
	for typed, want := range map[string]string{
		"+491701234567": "+491701234567", " +49 (0)170 / 123-45.67 ": "+491701234567", "0049 170 1234567": "+491701234567",
		"+1 (212) 555-0100": "+12125550100", "+44\u00a020 7946 0000": "+442079460000",
	} {
		if got, err := Parse(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", typed, got, err, want)
		}
	}
	for _, typed := range []string{"", "+", "0170 1234567", "170", "+49", "+0491701234567", "+1234567890123456", "+49170x12", "++491701234567", "+49170\r\n1234567", "110", "+٤٩١٧٠١٢٣٤٥٦"} {
		if got, err := Parse(typed); err == nil {
			t.Errorf("%q was taken for %q", typed, got)
		}
	}
}

func TestCountry(t *testing.T) {
	for number, want := range map[string]string{
		"+491701234567": "DE", "+12125550100": "US", "+18765550100": "JM", "+14165550100": "CA", "+19005550100": "", "+77011234567": "KZ", "+79161234567": "RU",
		"+447700900123": "JE", "+447123456789": "GB", "+447012345678": "", "+881612345678": "", "+882161234567": "", "+8001234567890": "", "+5997123456": "BQ", "+59991234567": "CW",
		// Within a country that may be called, and dear all the same; also in lengths that fit nothing.
		"+499001234567": "", "+49900123456": "", "+49900123456789": "", "+491371234567": "", "+491801234567": "", "+4918512345678": "", "+498001234567": "", "+49700123456": "",
		"+4911812345": "", "+49118": "", "+448711234567": "", "+449011234567": "", "+33899123456": "", "+39899123456": "", "+41901123456": "", "+43900123456": "", "+34803123456": "", "+31909123456": "",
		"+4932221234567": "DE", "+4930123456": "DE", "+493055512864": "DE", "+491511234567": "DE", "+436601234567": "AT", "+15551234567": "US", "+61412345678": "AU", "+5511961234567": "BR",
	} {
		if got := Country(number); got != want {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
	for code, want := range map[string]bool{"DE": true, "US": true, "de": false, "": false, "-": false, "XX": false} {
		if IsCountry(code) != want {
			t.Errorf("IsCountry(%q): want %v", code, want)
		}
	}
}

func TestMask(t *testing.T) {
	for number, want := range map[string]string{"+491701234567": "+49********67", "": "***", "+49": "***"} {
		if got := Mask(number); got != want {
			t.Errorf("%q: %q, want %q", number, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("+49 (0)170 1234567")
	f.Fuzz(func(t *testing.T, typed string) {
		n, err := Parse(typed)
		if err != nil {
			return
		}
		if again, err := Parse(n); err != nil || again != n {
			t.Errorf("%q became %q, which becomes %q, %v", typed, n, again, err)
		}
	})
}
