package node

import (
	"fmt"
	"os"

	"countersign/internal/policy"
)

// loadCountries reads the table that says where addresses are, if the node file names one.
func (s *server) loadCountries() error {
	if s.Config.CountriesFile == "" {
		return nil
	}
	f, err := os.Open(s.Config.CountriesFile) //nolint:gosec // the operator named it
	if err != nil {
		return fmt.Errorf("countries_file: %w", err)
	}
	defer f.Close()
	c, err := policy.ReadCountries(f)
	if err != nil {
		return fmt.Errorf("countries_file %s: %w", s.Config.CountriesFile, err)
	}
	s.countries = c
	s.own.Info("countries of addresses read", "file", s.Config.CountriesFile, "spans", c.Len())
	return nil
}

// countryWarnings says that rules ask for what this server cannot tell.
func (s *server) countryWarnings() []string {
	if s.countries.Len() > 0 || !s.store.Settings().Rules.NeedCountry() {
		return nil
	}
	return []string{"policy rules ask for the country of a source, and this server knows none: name a table in the node file (countries_file). Until then every source is outside every country"}
}
