package mconsoletest

import "strings"

// Kernel is a Handler with the answers of a small 6.1 guest: one console, no
// disks, and the running and stopped states.
type Kernel struct{ stopped bool }

// Handle answers one command in the kernel's own words.
func (k *Kernel) Handle(command string) Reply {
	name, argument, _ := strings.Cut(command, " ")
	switch name {
	case "version":
		return text("Linux (none) 6.1.176 #1 Sat Jul  4 15:38:16 UTC 2026 x86_64")
	case "help":
		return text(strings.Repeat("Commands:\n    version - Get kernel version\n", 20))
	case "stop":
		if k.stopped {
			return refuse(1, "Already stopped")
		}
		k.stopped = true
		return text("stopped")
	case "go":
		if !k.stopped {
			return refuse(1, "Not stopped")
		}
		k.stopped = false
		return text("")
	case "config":
		return k.config(argument)
	case "remove":
		if argument == "ubd5" {
			return refuse(-19, "Device doesn't exist")
		}
		return refuse(1, "Bad remove option")
	case "proc":
		if argument != "meminfo" {
			return refuse(1, "Failed to open file")
		}
		return Reply{Parts: []string{"\n", "MemTotal:          53412 kB\n" + strings.Repeat("MemFree:           40000 kB\n", 40), ""}}
	case "sysrq":
		return Reply{Parts: []string{"sysrq: HELP : loglevel(0-9)\n", ""}}
	case "stack":
		if argument != "1" {
			return refuse(1, "Couldn't find that pid")
		}
		return Reply{Parts: []string{"Process: init\n", strings.Repeat(" [<6002c0ae>] new_thread_handler+0x7f/0xb0\n", 30), ""}}
	case "log", "cad":
		return text("")
	default:
		return refuse(1, "Unknown command")
	}
}

func (k *Kernel) config(argument string) Reply {
	switch {
	case argument == "con0":
		return text("null")
	case argument == "ubd1=/nonexistent":
		return refuse(-2, "Couldn't determine size of device's file")
	case strings.HasPrefix(argument, "con"):
		return text("null")
	default:
		return refuse(1, "Bad configuration option")
	}
}

func text(s string) Reply { return Reply{Parts: []string{s}} }

func refuse(code int32, s string) Reply { return Reply{Err: code, Parts: []string{s}} }
