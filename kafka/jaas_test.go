package kafka

import (
	"reflect"
	"strings"
	"testing"
)

func loginOf(module string, pairs ...string) login {
	l := login{module: module, options: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		l.options[pairs[i]] = pairs[i+1]
	}
	return l
}

func TestJAAS(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want login
	}{
		"plain":            {plainLogin, loginOf("PlainLoginModule", "username", "alice", "password", "hush")},
		"space before end": {`x.ScramLoginModule required username="a" password="b" ;`, loginOf("ScramLoginModule", "username", "a", "password", "b")},
		"single quotes":    {`x.ScramLoginModule required username='a' password='b';`, loginOf("ScramLoginModule", "username", "a", "password", "b")},
		"no quotes":        {`x.ScramLoginModule required username=a password=b;`, loginOf("ScramLoginModule", "username", "a", "password", "b")},
		"several lines":    {"x.ScramLoginModule required\n  username=\"a\"\n  password=\"b\";\n", loginOf("ScramLoginModule", "username", "a", "password", "b")},
		"odd characters":   {`x.PlainLoginModule required username="a=b" password="p;w \"q\" \\";`, loginOf("PlainLoginModule", "username", "a=b", "password", `p;w "q" \`)},
		"further options":  {`x.ScramLoginModule required username="a" password="b" tokenauth="true" x="y";`, loginOf("ScramLoginModule", "username", "a", "password", "b", "tokenauth", "true", "x", "y")},
		"empty":            {"", login{}},
		"no semicolon":     {`x.PlainLoginModule required username="a" password="hush"`, login{}},
		"text behind it":   {`x.PlainLoginModule required username="a" password="hush"; more`, login{}},
		"an open quote":    {`x.PlainLoginModule required username="a" password="hush;`, login{}},
		"no option":        {`x.OAuthBearerLoginModule required;`, loginOf("OAuthBearerLoginModule")},
		"no module":        {`required username="a" password="hush";`, login{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseJAAS(c.text)
			if (err != nil) != (c.want.module == "") {
				t.Fatalf("error %v", err)
			}
			if !reflect.DeepEqual(got, c.want) {
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
		if err == nil && l.module == "" {
			t.Errorf("a login without a module is accepted")
		}
	})
}
