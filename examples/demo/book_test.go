package main

import "testing"

func TestBookTakesCountsWithoutGapOnly(t *testing.T) {
	for name, c := range map[string]struct {
		greetings []string
		refused   int // index of the one that is refused, -1 for none
	}{
		"each name counts by itself": {[]string{"Ada=Hello Ada, visit number 1", "Bo=Hello Bo, visit number 1", "Ada=Hello Ada, visit number 2"}, -1},
		"a greeting twice":           {[]string{"Ada=Hello Ada, visit number 1", "Ada=Hello Ada, visit number 1"}, 1},
		"a greeting lost":            {[]string{"Ada=Hello Ada, visit number 1", "Ada=Hello Ada, visit number 3"}, 1},
		"a count that begins at 2":   {[]string{"Ada=Hello Ada, visit number 2"}, 0},
		"a name nobody sent":         {[]string{"Eve=Hello Eve, visit number 1"}, 0},
		"a key of another name":      {[]string{"Ada=Hello Bo, visit number 1"}, 0},
		"something else":             {[]string{"Ada=Bye"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook([]string{"Ada", "Bo"})
			for i, greeting := range c.greetings {
				if err := b.enter(greeting); (err != nil) != (i == c.refused) {
					t.Errorf("enter(%q): %v", greeting, err)
				}
			}
		})
	}
}
