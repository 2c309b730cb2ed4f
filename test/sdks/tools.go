package sdks

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// golang builds the program with the SDK that go.mod names.
func (i *installer) golang() (program, error) {
	folder, err := i.built("go", []string{"main.go", "typed.go"}, func(folder string) error {
		return i.run(filepath.Join(i.sources, "go"), nil, "go", "build", "-o", filepath.Join(folder, "function"), ".")
	})
	return program{command: []string{filepath.Join(folder, "function")}}, err
}

// built is the folder of a program that is compiled from some files of its source folder.
func (i *installer) built(name string, files []string, build func(folder string) error) (string, error) {
	recipe := ""
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(i.sources, name, file))
		if err != nil {
			return "", fmt.Errorf("read the source of a program: %w", err)
		}
		recipe += string(text)
	}
	return i.folder(name, recipe, build)
}

// aiohttp serves all Python programs.
const aiohttp = "aiohttp==3.14.5"

// python is the program of a Python SDK: packages are the SDK and what it needs.
func python(packages []string) func(i *installer) (program, error) {
	return func(i *installer) (program, error) {
		source := "python"
		if strings.Contains(packages[0], "==2.") {
			source = "python22"
		}
		interpreter, err := i.interpreter(packages)
		return program{command: []string{interpreter, filepath.Join(i.sources, source, "function.py")}}, err
	}
}

// interpreter is that of an environment which has aiohttp and some packages. It works after the folder got its name; the
// scripts beside it know the old one and are not used.
func (i *installer) interpreter(packages []string) (string, error) {
	if err := need("python3", "runs the Python SDKs (3.8 to 3.13, with venv and pip)"); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(packages[0], "==")
	packages = append([]string{aiohttp}, packages...)
	folder, err := i.folder(name, strings.Join(packages, " "), func(folder string) error {
		if err := i.run("", nil, "python3", "-m", "venv", folder); err != nil {
			return err
		}
		return i.run("", nil, filepath.Join(folder, "bin", "python"), append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, packages...)...)
	})
	return filepath.Join(folder, "bin", "python"), err
}

// javascript installs what its package.json names.
func (i *installer) javascript() (program, error) {
	if err := need("node", "runs the JavaScript SDK"); err != nil {
		return program{}, err
	}
	if err := need("npm", "installs the JavaScript SDK"); err != nil {
		return program{}, err
	}
	manifest := filepath.Join(i.sources, "javascript", "package.json")
	folder, err := i.built("javascript", []string{"package.json"}, func(folder string) error {
		if err := copyFile(manifest, filepath.Join(folder, "package.json")); err != nil {
			return err
		}
		return i.run(folder, nil, "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
	})
	return program{
		command: []string{"node", filepath.Join(i.sources, "javascript", "function.js")},
		env:     []string{"NODE_PATH=" + filepath.Join(folder, "node_modules")},
	}, err
}

// mavenCopy fetches one file from the Maven repository.
func (i *installer) mavenCopy(folder, artifact string) error {
	if err := need("mvn", "fetches the Java SDK and protoc"); err != nil {
		return err
	}
	return i.run("", nil, "mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
		"-Dartifact="+artifact, "-DoutputDirectory="+folder)
}

const javaSDK = "org.apache.flink:statefun-sdk-java:3.3.0"

// java fetches the SDK's jar alone, because the only dependency that its pom names was never published and lies in the jar,
// and compiles the program.
func (i *installer) java() (program, error) {
	if err := need("javac", "compiles the program on the Java SDK (a JDK of version 17 or later)"); err != nil {
		return program{}, err
	}
	folder, err := i.built("java", []string{"Function.java"}, func(folder string) error {
		if err := i.mavenCopy(folder, javaSDK); err != nil {
			return err
		}
		return i.run("", nil, "javac", "-cp", filepath.Join(folder, "*"), "-d", folder, filepath.Join(i.sources, "java", "Function.java"))
	})
	return program{command: []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m",
		"-cp", folder + string(os.PathListSeparator) + filepath.Join(folder, "*"), "Function"}}, err
}

// protocPlatforms are the names that protoc is published under for each platform.
var protocPlatforms = map[string]string{
	"linux/amd64": "linux-x86_64", "linux/arm64": "linux-aarch_64", "darwin/amd64": "osx-x86_64", "darwin/arm64": "osx-aarch_64",
}

// protoc fetches the compiler that the Rust SDK's build looks for in the path. Maven has it for every platform, so that
// nobody needs a package of the operating system.
func (i *installer) protoc() (string, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	name := protocPlatforms[platform]
	if name == "" {
		return "", fmt.Errorf("look for protoc, which the Rust SDK's build needs: none is published for %s", platform)
	}
	artifact := "com.google.protobuf:protoc:3.21.12:exe:" + name
	return i.folder("protoc", artifact, func(folder string) error {
		if err := i.mavenCopy(folder, artifact); err != nil {
			return err
		}
		fetched, err := filepath.Glob(filepath.Join(folder, "protoc-*"))
		if err != nil || len(fetched) != 1 {
			return fmt.Errorf("find protoc in %s: %d files, %w", folder, len(fetched), err)
		}
		binary := filepath.Join(folder, "protoc")
		if err := os.Rename(fetched[0], binary); err != nil {
			return fmt.Errorf("name protoc: %w", err)
		}
		return os.Chmod(binary, 0o755)
	})
}

// rust builds the program. Cargo's own folder of what is built stays, so that a changed program takes seconds.
func (i *installer) rust() (program, error) {
	if err := need("cargo", "builds the Rust SDK"); err != nil {
		return program{}, err
	}
	files := []string{"Cargo.toml", filepath.Join("src", "main.rs")}
	folder, err := i.built("rust", files, func(folder string) error {
		for _, name := range files {
			if err := copyFile(filepath.Join(i.sources, "rust", name), filepath.Join(folder, name)); err != nil {
				return err
			}
		}
		protoc, err := i.protoc()
		if err != nil {
			return err
		}
		built := filepath.Join(i.cache, "rust-target")
		env := []string{"PATH=" + protoc + string(os.PathListSeparator) + os.Getenv("PATH"), "CARGO_TARGET_DIR=" + built}
		if err := i.run(folder, env, "cargo", "build", "--release", "--quiet"); err != nil {
			return err
		}
		return os.Rename(filepath.Join(built, "release", "function"), filepath.Join(folder, "function"))
	})
	return program{command: []string{filepath.Join(folder, "function")}}, err
}
