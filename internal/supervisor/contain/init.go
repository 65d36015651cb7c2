package contain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init is the second stage: args are its arguments after InitCommand. It
// becomes the kernel and returns only when it cannot, with an exit status.
func Init(args []string) int {
	// Capabilities, the parent-death signal and the personality belong to a
	// thread; the one that sets them must be the one that calls execve.
	runtime.LockOSThread()
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "virtumld: guest-init is run by a supervisor only")
		return 2
	}
	planFD, err := strconv.Atoi(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtumld: guest-init:", err)
		return 2
	}
	// The pipes are the last that the kernel shall not have, and whatever a
	// careless ancestor left open lies behind them.
	if err := unix.CloseRange(uint(planFD), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, "virtumld: guest-init: cannot keep descriptors from the kernel:", err)
		return 1
	}
	status := json.NewEncoder(os.NewFile(uintptr(planFD+1), "status"))
	err = become(planFD, status)
	var failure *Failure
	if !errors.As(err, &failure) {
		failure = &Failure{Stage: StageSetup, Op: err.Error()}
	}
	_ = status.Encode(progress{Failure: failure}) // its reader may be gone
	return 1
}

// become does the plan that is read from planFD. It returns only on failure.
func become(planFD int, status *json.Encoder) error {
	control := os.NewFile(uintptr(planFD), "plan")
	var plan Plan
	decoder := json.NewDecoder(control)
	if err := decoder.Decode(&plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if plan.Isolated {
		if err := buildRoot(&plan); err != nil {
			return err
		}
	}
	if err := dropPrivileges(&plan); err != nil {
		return err
	}
	if err := os.Chdir(plan.Dir); err != nil {
		return failed(StageSetup, "enter", plan.Dir, err)
	}
	if err := dieWithParent(planFD); err != nil {
		return err
	}
	for _, need := range plan.Access {
		if err := need.check(); err != nil {
			return err
		}
	}
	if plan.Hold {
		if err := status.Encode(progress{Held: true}); err != nil {
			return err
		}
		if err := awaitRelease(io.MultiReader(decoder.Buffered(), control)); err != nil {
			return err
		}
	}
	if err := status.Encode(progress{Exec: true}); err != nil {
		return err
	}
	err := syscall.Exec(plan.Exec, plan.Args, plan.Env)
	return failed(StageExec, "execute", plan.Exec, err)
}

// awaitRelease waits for Release. The white space that ends the plan may
// come before it.
func awaitRelease(control io.Reader) error {
	var one [1]byte
	for one[0] != releaseByte {
		if _, err := io.ReadFull(control, one[:]); err != nil {
			return fmt.Errorf("wait for the release: %w", err)
		}
	}
	return nil
}

// check tests the access with the rights that the kernel will have.
func (a Access) check() error {
	mode, op := uint32(unix.R_OK), "read"
	if a.Write {
		mode, op = mode|unix.W_OK, "read and write"
	}
	if a.Exec {
		mode, op = unix.X_OK, "execute"
	}
	if err := unix.Faccessat(unix.AT_FDCWD, a.Path, mode, unix.AT_EACCESS); err != nil {
		return failed(StageFile, op, a.Host, err)
	}
	return nil
}

// dieWithParent asks for SIGKILL at the supervisor's death. Changing ids
// clears the request, so it comes late; a parent that died before has closed
// its end of the plan's pipe.
func dieWithParent(planFD int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return failed(StageSetup, "tie the guest's life to the supervisor's", "", err)
	}
	poll := []unix.PollFd{{Fd: int32(planFD)}}
	if _, err := unix.Poll(poll, 0); err == nil && poll[0].Revents&unix.POLLHUP != 0 {
		return errors.New("go on: the supervisor has died")
	}
	return nil
}

func failed(stage Stage, op, path string, err error) *Failure {
	var errno syscall.Errno
	errors.As(err, &errno)
	return &Failure{Stage: stage, Op: op, Path: path, Errno: errno}
}
