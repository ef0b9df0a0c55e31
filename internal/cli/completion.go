package cli

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

type completionVerb struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

func (v *completionVerb) Run(e *env) error {
	nodes := places(e.parser.Model.Node, "")
	switch v.Shell {
	case "bash":
		return bashCompletion(e.Stdout, nodes)
	case "zsh":
		return zshCompletion(e.Stdout, nodes)
	}
	return fishCompletion(e.Stdout, nodes)
}

// place is one command, by its path, with the words that may follow it.
type place struct {
	path  string // "user add"; "" at the top
	words []word
}

type word struct {
	text   string
	help   string
	values []string // of a flag
}

// places lists node and everything below it.
func places(node *kong.Node, path string) []place {
	p := place{path: path}
	var below []place
	for _, c := range node.Children {
		if c.Hidden || c.Type != kong.CommandNode {
			continue
		}
		p.words = append(p.words, word{text: c.Name, help: c.Help})
		below = append(below, places(c, strings.TrimSpace(path+" "+c.Name))...)
	}
	for _, arg := range node.Positional {
		for _, v := range arg.EnumSlice() {
			if v != "" {
				p.words = append(p.words, word{text: v})
			}
		}
	}
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			w := word{text: "--" + f.Name, help: f.Help}
			if f.Tag != nil && f.Tag.Get("values") != "" {
				w.values = strings.Split(f.Tag.Get("values"), ",")
			} else if f.Enum != "" {
				w.values = strings.Split(f.Enum, ",")
			}
			p.words = append(p.words, w)
		}
	}
	sort.SliceStable(p.words, func(i, j int) bool {
		return !strings.HasPrefix(p.words[i].text, "-") && strings.HasPrefix(p.words[j].text, "-")
	})
	return append([]place{p}, below...)
}

// paths are the arms of a shell's case that walk down the commands.
func paths(nodes []place) string {
	var arms []string
	for _, n := range nodes[1:] {
		arms = append(arms, `"`+n.path+`"`)
	}
	return strings.Join(arms, "|")
}

// flagValues calls yield for every flag with a fixed set of values.
func flagValues(nodes []place, yield func(path, flag, values string)) {
	for _, n := range nodes {
		for _, w := range n.words {
			if w.values != nil {
				yield(n.path, w.text, strings.Join(w.values, " "))
			}
		}
	}
}

func joined(words []word) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	return strings.Join(texts, " ")
}

func bashCompletion(w io.Writer, nodes []place) error {
	fmt.Fprintf(w, `# bash completion of countersign: source <(countersign completion bash)
_countersign() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" at="" w words=""
  for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "${at:+$at }$w" in
      %s) at="${at:+$at }$w" ;;
    esac
  done
  case "$at $prev" in
`, paths(nodes))
	flagValues(nodes, func(path, flag, values string) {
		fmt.Fprintf(w, "    \"%s %s\") COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n", path, flag, values)
	})
	fmt.Fprint(w, "  esac\n  case \"$at\" in\n")
	for _, n := range nodes {
		fmt.Fprintf(w, "    \"%s\") words=\"%s\" ;;\n", n.path, joined(n.words))
	}
	_, err := fmt.Fprint(w, `  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _countersign countersign
`)
	return err
}

func zshCompletion(w io.Writer, nodes []place) error {
	fmt.Fprintf(w, `#compdef countersign
# zsh completion of countersign: source <(countersign completion zsh)
_countersign() {
  local at="" w prev="${words[CURRENT-1]}"
  for w in "${(@)words[2,CURRENT-1]}"; do
    case "${at:+$at }$w" in
      %s) at="${at:+$at }$w" ;;
    esac
  done
  case "$at $prev" in
`, paths(nodes))
	flagValues(nodes, func(path, flag, values string) {
		fmt.Fprintf(w, "    \"%s %s\") compadd -- %s; return ;;\n", path, flag, values)
	})
	fmt.Fprint(w, "  esac\n  case \"$at\" in\n")
	for _, n := range nodes {
		fmt.Fprintf(w, "    \"%s\") compadd -- %s ;;\n", n.path, joined(n.words))
	}
	_, err := fmt.Fprint(w, `  esac
  [[ "${words[CURRENT]}" == -* ]] || _files
}
compdef _countersign countersign
`)
	return err
}

func fishCompletion(w io.Writer, nodes []place) error {
	fmt.Fprintf(w, `# fish completion of countersign: countersign completion fish | source
function __countersign_at
  set -l at
  for w in (commandline -opc)[2..-1]
    switch (string trim -- "$at $w")
      case %s
        set -a at $w
    end
  end
  test "$at" = "$argv[1]"
end
`, strings.ReplaceAll(paths(nodes), "|", " "))
	var err error
	for _, n := range nodes {
		for _, x := range n.words {
			help := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(x.help)
			if flag, ok := strings.CutPrefix(x.text, "--"); ok {
				values := ""
				if x.values != nil {
					values = " -x -a '" + strings.Join(x.values, " ") + "'"
				}
				_, err = fmt.Fprintf(w, "complete -c countersign -n \"__countersign_at '%s'\" -l %s%s -d '%s'\n", n.path, flag, values, help)
			} else {
				_, err = fmt.Fprintf(w, "complete -c countersign -n \"__countersign_at '%s'\" -a %s -d '%s'\n", n.path, x.text, help)
			}
		}
	}
	return err
}
