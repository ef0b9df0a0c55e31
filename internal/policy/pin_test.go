package policy

import (
	"errors"
	"testing"

	"countersign/internal/secret"
)

func TestCheckPIN(t *testing.T) {
	set := Defaults()
	for pin, want := range map[string]error{
		"1379": nil, "135790": nil, "1122": nil, "2580": nil,
		"137": ErrPINLength, "": ErrPINLength, "13791379137913791": ErrPINLength,
		"13a9": ErrPINDigits, "١٣٧٩": ErrPINDigits, "1 379": ErrPINDigits,
		"1117": ErrPINRepeat, "9000": ErrPINRepeat, "1237": ErrPINSequence, "9876": ErrPINSequence, "1890": nil, "17890": ErrPINSequence,
		"0170": ErrPINPhone, "90172": ErrPINPhone,
	} {
		if got := CheckPIN(secret.FromString(pin), set, "+4990172 0170"); !errors.Is(got, want) || want == nil && got != nil {
			t.Errorf("%q: %v, want %v", pin, got, want)
		}
	}
	set.PINWeak = true
	if err := CheckPIN(secret.FromString("1111"), set); err != nil {
		t.Errorf("weak ones are allowed: %v", err)
	}
	set.PINLength = 6
	if err := CheckPIN(secret.FromString("1379"), set); !errors.Is(err, ErrPINLength) {
		t.Errorf("six digits are wanted: %v", err)
	}
}
