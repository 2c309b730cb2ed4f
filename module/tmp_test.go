package module
import ("testing";"strings";"time";"fmt")
func TestTmp(t *testing.T){
 for _,n:=range []int{1000,10000,50000} {
 for _,s:=range []string{"[","a: ","{","- ","a: [", "&a ", "? ", "!x "} {
  st:=time.Now(); r:=newReader(Options{}); r.read("m",[]byte(strings.Repeat(s,n))); fmt.Println(n,s,time.Since(st),len(r.problems))
 }}
}
