//go:build !unix

package embedded

import (
	"errors"
	"os"
)

// Without locks that end with their process nobody can tell what was left behind, so nothing is swept.
func lockNow(*os.File) error { return errors.ErrUnsupported }

func lockWaiting(*os.File) error { return errors.ErrUnsupported }
