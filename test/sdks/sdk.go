package sdks

// An SDK is one published package, and how its program is started.
type SDK struct {
	// Name is the namespace of its functions and the name of its topics.
	Name string
	// Package is how the registry of its language calls it, with the version.
	Package string
	// Legacy says that it speaks the protocol of StateFun 2.2.
	Legacy bool
	// Mode is an argument for the program: whether a Python function is sync or async.
	Mode string
	// Restarts says that a function that throws ends its process, so that something must start it again.
	Restarts bool

	install func(i *installer) (program, error) // nil for the SDK of this checkout, which is built for each run
}

// program is how an installed SDK's function is started; the arguments of all programs are the same.
type program struct {
	command []string
	env     []string
}

// Own is the name of this project's SDK, the only one that has headers.
const Own = "own"

// officialPython is the official Python SDK with the protobuf that it needs.
var officialPython = []string{"apache-flink-statefun==3.3.0", "protobuf==3.20.3"}

// All are the SDKs of the suite.
func All() []SDK {
	old := []string{"apache-flink-statefun==2.2.2", "protobuf==3.20.3"}
	fork := []string{"flink-statefun==3.5.0", "protobuf==7.36.2"}
	return []SDK{
		{Name: "go", Package: "github.com/apache/flink-statefun/statefun-sdk-go/v3 v3.3.0", install: (*installer).golang},
		{Name: Own, Package: "github.com/statefun-kafka/statefun-kafka/statefun"},
		{Name: "java", Package: "org.apache.flink:statefun-sdk-java 3.3.0", install: (*installer).java},
		{Name: "javascript", Package: "npm apache-flink-statefun 3.3.0", install: (*installer).javascript},
		{Name: "python-sync", Package: "PyPI apache-flink-statefun 3.3.0", Mode: "sync", install: python(officialPython)},
		{Name: "python-async", Package: "PyPI apache-flink-statefun 3.3.0", Mode: "async", install: python(officialPython)},
		{Name: "fork-sync", Package: "PyPI flink-statefun 3.5.0", Mode: "sync", install: python(fork)},
		{Name: "fork-async", Package: "PyPI flink-statefun 3.5.0", Mode: "async", install: python(fork)},
		{Name: "rust", Package: "crates.io statefun 0.2.0-alpha.2", Restarts: true, install: (*installer).rust},
		{Name: "python22-sync", Package: "PyPI apache-flink-statefun 2.2.2", Legacy: true, Mode: "sync", install: python(old)},
		{Name: "python22-async", Package: "PyPI apache-flink-statefun 2.2.2", Legacy: true, Mode: "async", install: python(old)},
	}
}
