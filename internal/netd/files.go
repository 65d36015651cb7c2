package netd

// Files in Spec.Dir.
const (
	specFile    = "spec.json"
	processFile = "process.json" // the process's identity
	controlFile = "ctl"
	logFile     = "network.log" // what the process has to say
)
