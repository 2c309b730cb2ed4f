package module

import (
	"fmt"
	"strings"
)

// Nearest returns the known word that is most like the given one, or "" when none is like it.
func Nearest(word string, known []string) string {
	best, least := "", 0
	for _, k := range known {
		d := editDistance(strings.ToLower(word), strings.ToLower(k))
		// A third of the longer word may differ: more and the hint is noise.
		if d > max(len(word), len(k))/3 && d > 1 || d >= min(len(word), len(k)) {
			continue
		}
		if best == "" || d < least {
			best, least = k, d
		}
	}
	return best
}

func didYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// editDistance counts the bytes to insert, delete, replace or swap with their neighbour to turn a into b.
func editDistance(a, b string) int {
	// Long words are cut: nobody mistypes a name of this length, and the cost grows with the square.
	const longest = 100
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[(i-1)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
