package egress
import ("testing";"context";"fmt";"github.com/twmb/franz-go/pkg/kgo";"github.com/twmb/franz-go/pkg/kfake")
func TestProbe(t *testing.T){
 v:="5000"
 _=v
 k,err:=kfake.NewCluster(kfake.NumBrokers(1),kfake.SeedTopics(1,"t")); if err!=nil{t.Fatal(err)}
 defer k.Close()
 for _,comp:=range []bool{false}{ _=comp
 cl,_:=kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...),kgo.ProducerBatchCompression(kgo.NoCompression()),kgo.ProducerBatchMaxBytes(5000),kgo.ConsumeTopics("t"))
 defer cl.Close()
 for _,n:=range []int{5000,5001,4998}{ err:=cl.ProduceSync(context.Background(),sized("t",n)).FirstErr(); fmt.Println(n,err)}
 cl.ProduceSync(context.Background(),&kgo.Record{Topic:"t",Key:[]byte{},Value:[]byte{}})
 cl.ProduceSync(context.Background(),&kgo.Record{Topic:"t"})
 n:=0
 for n<4 { fs:=cl.PollFetches(context.Background()); fs.EachRecord(func(r *kgo.Record){ n++; fmt.Println(len(r.Key), r.Key==nil, len(r.Value), r.Value==nil)})}
 }
}
