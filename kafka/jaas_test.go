package kafka

import (
	"strings"
	"testing"
)

func TestJAAS(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want login
	}{
		"plain":            {plainLogin, login{module: "PlainLoginModule", username: "alice", password: "hush"}},
		"space before end": {`x.ScramLoginModule required username="a" password="b" ;`, login{module: "ScramLoginModule", username: "a", password: "b"}},
		"single quotes":    {`x.ScramLoginModule required username='a' password='b';`, login{module: "ScramLoginModule", username: "a", password: "b"}},
		"no quotes":        {`x.ScramLoginModule required username=a password=b;`, login{module: "ScramLoginModule", username: "a", password: "b"}},
		"several lines":    {"x.ScramLoginModule required\n  username=\"a\"\n  password=\"b\";\n", login{module: "ScramLoginModule", username: "a", password: "b"}},
		"odd characters":   {`x.PlainLoginModule required username="a=b" password="p;w \"q\" \\";`, login{module: "PlainLoginModule", username: "a=b", password: `p;w "q" \`}},
		"further options":  {`x.ScramLoginModule required username="a" password="b" tokenauth="true" x="y";`, login{module: "ScramLoginModule", username: "a", password: "b", token: true}},
		"empty":            {"", login{}},
		"no semicolon":     {`x.PlainLoginModule required username="a" password="hush"`, login{}},
		"text behind it":   {`x.PlainLoginModule required username="a" password="hush"; more`, login{}},
		"an open quote":    {`x.PlainLoginModule required username="a" password="hush;`, login{}},
		"no password":      {`x.PlainLoginModule required username="a";`, login{}},
		"no module":        {`required username="a" password="hush";`, login{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseJAAS(c.text)
			if (err != nil) != (c.want == login{}) {
				t.Fatalf("error %v", err)
			}
			if got != c.want {
				t.Errorf("another login than wanted")
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func FuzzJAAS(f *testing.F) {
	f.Add(plainLogin)
	f.Add(`a b c='d`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseJAAS(text)
		if err == nil && (l.username == "" || l.password == "") {
			t.Errorf("a login without name or password is accepted")
		}
	})
}
