package native

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxScript is the longest text that is read, in bytes: four times the longest
// command line of a kernel (COMMAND_LINE_SIZE). It bounds how deep a text can be
// nested, too.
const maxScript = 16 << 10

// maxWord is the longest word in bytes: a kernel's whole command line.
const maxWord = 4 << 10

// command is what a script runs in the end.
type command struct {
	// dir is where relative paths begin, "" when the script does not say.
	dir string
	// words are the program and its arguments.
	words []string
	// files are the descriptors that were opened by redirections.
	files map[int]file
}

// file is the aim of a redirection.
type file struct {
	path   string
	append bool
}

// reader walks a script: what it sets is kept for what follows.
type reader struct {
	variables map[string]string
	dir       string
	command   *command
}

// readScript finds the one command that a script runs. Before it there may be
// assignments, "cd FOLDER", "export" and "set"; whatever else a shell can do is
// refused, as nothing is run here.
func readScript(text string) (*command, error) {
	if len(text) > maxScript {
		return nil, invalid("the script is %d bytes long, at most %d are read", len(text), maxScript)
	}
	parsed, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, invalid("cannot read the command line: %w", err)
	}
	r := &reader{variables: map[string]string{}}
	for _, statement := range parsed.Stmts {
		if err := r.statement(statement); err != nil {
			return nil, err
		}
	}
	if r.command == nil {
		return nil, invalid("the command line has no command")
	}
	return r.command, nil
}

func (r *reader) statement(s *syntax.Stmt) error {
	switch c := s.Cmd.(type) {
	case nil:
		return r.refuse(s, "redirections without a command")
	case *syntax.CallExpr:
		return r.call(s, c)
	case *syntax.BinaryCmd:
		if c.Op != syntax.AndStmt {
			return r.refuse(s, "'"+c.Op.String()+"'")
		}
		if err := r.statement(c.X); err != nil {
			return err
		}
		return r.statement(c.Y)
	case *syntax.DeclClause:
		return r.declare(c)
	}
	return r.refuse(s, "this kind of command")
}

// refuse says what of the script is not understood, and where.
func (r *reader) refuse(node syntax.Node, what string) error {
	return invalid("line %d of the command line: %s cannot be turned into a domain, leave only what starts the kernel",
		node.Pos().Line(), what)
}

// declare is export and its like.
func (r *reader) declare(c *syntax.DeclClause) error {
	for _, a := range c.Args {
		if a.Name == nil || a.Array != nil || a.Index != nil {
			return r.refuse(c, c.Variant.Value+" with options")
		}
		if err := r.assign(a); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) assign(a *syntax.Assign) error {
	switch {
	case a.Append || a.Array != nil || a.Index != nil:
		return r.refuse(a, "an assignment of this kind")
	case a.Naked || a.Value == nil:
		if !a.Naked {
			r.variables[a.Name.Value] = ""
		}
		return nil
	}
	value, err := r.word(a.Value)
	if err != nil {
		return err
	}
	r.variables[a.Name.Value] = value
	return nil
}

// call is a command with its environment: assignments alone, a builtin, or the
// command that starts the kernel.
func (r *reader) call(s *syntax.Stmt, c *syntax.CallExpr) error {
	// The shell expands the words before it looks at the assignments of
	// the same command.
	var words []string
	length := 0
	for _, w := range c.Args {
		word, err := r.word(w)
		if err != nil {
			return err
		}
		if length += len(word); length > maxScript {
			return r.refuse(w, "a command of more than "+strconv.Itoa(maxScript)+" bytes")
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		for _, a := range c.Assigns {
			if err := r.assign(a); err != nil {
				return err
			}
		}
		return nil
	}
	switch words[0] {
	case "set", "umask", "ulimit":
		return nil
	case "cd":
		if len(words) != 2 {
			return r.refuse(s, "cd without one folder")
		}
		r.dir = r.absolute(words[1])
		return nil
	}
	if r.command != nil {
		return r.refuse(s, "a second command ("+strconv.Quote(words[0])+")")
	}
	files, err := r.redirections(s)
	if err != nil {
		return err
	}
	r.command = &command{dir: r.dir, words: words, files: files}
	return nil
}

func (r *reader) absolute(name string) string {
	if path.IsAbs(name) || r.dir == "" {
		return path.Clean(name)
	}
	return path.Join(r.dir, name)
}

// redirections tells the files of a command's descriptors.
func (r *reader) redirections(s *syntax.Stmt) (map[int]file, error) {
	files := map[int]file{}
	for _, d := range s.Redirs {
		if err := r.redirection(d, files); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (r *reader) redirection(d *syntax.Redirect, files map[int]file) error {
	if d.Hdoc != nil || d.Word == nil {
		return r.refuse(d, "a here-document")
	}
	aim, err := r.word(d.Word)
	if err != nil {
		return err
	}
	descriptor, err := numberOf(d)
	if err != nil {
		return r.refuse(d, "the descriptor "+d.N.Value)
	}
	opened := file{path: r.absolute(aim)}
	switch d.Op {
	case syntax.RdrOut, syntax.RdrClob, syntax.RdrInOut, syntax.RdrIn:
	case syntax.AppOut:
		opened.append = true
	case syntax.DplOut, syntax.DplIn:
		return r.duplicate(d, aim, descriptor, files)
	case syntax.RdrAll, syntax.AppAll:
		opened.append = d.Op == syntax.AppAll
		files[2] = opened
	default:
		return r.refuse(d, "'"+d.Op.String()+"'")
	}
	files[descriptor] = opened
	return nil
}

// duplicate is N>&M and N>&-.
func (r *reader) duplicate(d *syntax.Redirect, aim string, descriptor int, files map[int]file) error {
	if aim == "-" {
		delete(files, descriptor)
		return nil
	}
	from, err := strconv.Atoi(aim)
	if err != nil {
		return r.refuse(d, "'"+d.Op.String()+aim+"'")
	}
	if opened, known := files[from]; known {
		files[descriptor] = opened
	} else {
		delete(files, descriptor)
	}
	return nil
}

// numberOf is the descriptor that a redirection changes.
func numberOf(d *syntax.Redirect) (int, error) {
	if d.N != nil {
		return strconv.Atoi(d.N.Value)
	}
	if slices.Contains([]syntax.RedirOperator{syntax.RdrIn, syntax.RdrInOut, syntax.DplIn}, d.Op) {
		return 0, nil
	}
	return 1, nil
}

// word is a word without its quotes and with the script's own variables in it.
func (r *reader) word(w *syntax.Word) (string, error) {
	var text strings.Builder
	if err := r.parts(&text, w.Parts, false); err != nil {
		return "", err
	}
	return text.String(), nil
}

func (r *reader) parts(text *strings.Builder, parts []syntax.WordPart, quoted bool) error {
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			text.WriteString(unescape(p.Value, quoted))
		case *syntax.SglQuoted:
			if p.Dollar {
				return r.refuse(p, "$'...'")
			}
			text.WriteString(p.Value)
		case *syntax.DblQuoted:
			if p.Dollar {
				return r.refuse(p, `$"..."`)
			}
			if err := r.parts(text, p.Parts, true); err != nil {
				return err
			}
		case *syntax.ParamExp:
			value, err := r.variable(p)
			if err != nil {
				return err
			}
			text.WriteString(value)
		default:
			return r.refuse(p, "a substitution")
		}
		if text.Len() > maxWord {
			return r.refuse(part, "a word of more than "+strconv.Itoa(maxWord)+" bytes")
		}
	}
	return nil
}

// variable is $NAME or ${NAME} of a variable that the script has set.
func (r *reader) variable(p *syntax.ParamExp) (string, error) {
	name := p.Param
	if name == nil {
		return "", r.refuse(p, "a substitution other than of a variable")
	}
	length := len("${}")
	if p.Short {
		length = len("$")
	}
	if int(p.End().Offset()-p.Pos().Offset()) != length+len(name.Value) {
		return "", r.refuse(p, "a substitution other than of a variable")
	}
	value, known := r.variables[name.Value]
	if !known {
		return "", invalid("line %d of the command line: the variable '%s' is not set in it, write its value instead (known are: %s)",
			p.Pos().Line(), name.Value, r.known())
	}
	return value, nil
}

func (r *reader) known() string {
	if len(r.variables) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(r.variables)), ", ")
}

// unescape takes the backslashes out of a literal. Within double quotes only
// some characters can be escaped.
func unescape(text string, quoted bool) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (!quoted || strings.IndexByte("$`\"\\\n", text[i+1]) >= 0) {
			i++
			if text[i] == '\n' {
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
