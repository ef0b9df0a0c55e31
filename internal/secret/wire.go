package secret

// Wire is a secret on its way through one JSON document: what a person gave to the
// command line and the server reads, or what the server made and shows once. It travels
// as text, and prints as "[secret]" everywhere else.
type Wire struct{ Text }

// NewWire returns a Wire that holds s.
func NewWire(s string) *Wire { return &Wire{FromString(s)} }

// MarshalText returns the secret itself.
func (w Wire) MarshalText() ([]byte, error) { return w.Expose(), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Wire) UnmarshalText(b []byte) error {
	w.Text = New(b)
	return nil
}
