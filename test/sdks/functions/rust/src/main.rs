//! The scripted function of the SDK suite on the third-party Rust SDK. The little language is told in the suite's package
//! comment.

use statefun::io::kafka::KafkaEgress;
use statefun::transport::Transport;
use statefun::{
    specs, Address, Context, Effects, EgressIdentifier, Expiration, ExpirationType, FunctionRegistry, FunctionType,
    HyperHttpTransport, Message, Serializable, TypeName, ValueSpec,
};
use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

/// A text under a type of its own, as JSON.
struct Custom(String);

impl TypeName for Custom {
    fn get_typename() -> &'static str {
        "sdks.types/custom"
    }
}

impl Serializable<Custom> for Custom {
    fn serialize(&self, _typename: String) -> Result<Vec<u8>, String> {
        Ok(format!("\"{}\"", self.0).into_bytes())
    }
    fn deserialize(_typename: String, buffer: &[u8]) -> Result<Custom, String> {
        let text = String::from_utf8(buffer.to_vec()).map_err(|e| e.to_string())?;
        Ok(Custom(text.trim_matches('"').to_string()))
    }
}

/// The bytes of a text and nothing around them: the SDK would write its own String as a wrapper message.
struct Utf8(String);

impl TypeName for Utf8 {
    fn get_typename() -> &'static str {
        "sdks.types/utf8"
    }
}

impl Serializable<Utf8> for Utf8 {
    fn serialize(&self, _typename: String) -> Result<Vec<u8>, String> {
        Ok(self.0.clone().into_bytes())
    }
    fn deserialize(_typename: String, buffer: &[u8]) -> Result<Utf8, String> {
        String::from_utf8(buffer.to_vec()).map(Utf8).map_err(|e| e.to_string())
    }
}

struct Function {
    namespace: String,
    topic: String,
    marks: String,
}

/// A state as reads and writes name it. They must not name its expiration: the SDK finds a state of the same batch by it.
fn state<T: Serializable<T> + TypeName>(name: &str) -> ValueSpec<T> {
    let names = ["text", "number", "flag", "ratio", "large", "custom", "written", "called", "fresh"];
    let known = names.iter().find(|n| **n == name).expect("a known state");
    ValueSpec::new(known, Expiration::never())
}

fn show<T: Serializable<T> + TypeName>(context: &Context, name: &str, text: fn(T) -> String) -> String {
    context.get_state(state::<T>(name)).map_or("-".to_string(), |value| text(value.unwrap()))
}

fn put<T: Serializable<T> + TypeName>(effects: &mut Effects, name: &str, value: T) {
    effects.update_state(state::<T>(name), &value).unwrap();
}

impl Function {
    fn invoke(&self, context: &Context, message: &Message) -> Effects {
        let mut effects = Effects::new();
        let script: String = message.get().unwrap();
        for command in script.split(';') {
            let words: Vec<&str> = command.split(' ').collect();
            self.run(context, &mut effects, words[0], &words[1..]);
        }
        effects
    }

    fn run(&self, context: &Context, effects: &mut Effects, command: &str, words: &[&str]) {
        let me = context.self_address();
        match command {
            "set" => set(effects, words[0], words.get(1).copied().unwrap_or("")),
            "del" => delete(effects, words[0]),
            "get" => self.egress(context, effects, format!("{}={}", words[0], get(context, words[0]))),
            "count" => {
                let n = context.get_state(state::<i32>("number")).map_or(0, |n| n.unwrap()) + 1;
                put(effects, "number", n);
                self.egress(context, effects, format!("count={}", n));
            }
            "send" => {
                let (target, script) = self.message(context, words);
                effects.send(target, &script).unwrap();
            }
            "after" => {
                let (target, script) = self.message(context, &words[2..]);
                let token = if words[1] == "-" { "" } else { words[1] };
                let delay = Duration::from_millis(words[0].parse().unwrap());
                effects.send_after(target, delay, token.to_string(), &script).unwrap();
            }
            "cancel" => effects.cancel_delayed_message(words[0].to_string()),
            "ping" => {
                let n: i32 = words[0].parse().unwrap();
                self.egress(context, effects, format!("ping {}", n));
                if n > 0 {
                    effects.send(context.caller_address(), &format!("ping {}", n - 1)).unwrap();
                }
            }
            "ring" => {
                self.egress(context, effects, "ring".to_string());
                let (next, rest) = words[0].split_once(':').unwrap_or((words[0], ""));
                if !next.is_empty() {
                    let target = Address::new(FunctionType::new(next, "script"), &me.id);
                    effects.send(target, &format!("ring {}", rest)).unwrap();
                }
            }
            "egress" => self.egress(context, effects, words[0].to_string()),
            "typed" => {
                let n: i32 = words[0].parse().unwrap();
                effects.kafka_keyed_egress(out(), &self.topic, &me.id, &n).unwrap();
            }
            "lost" => {
                let nowhere = EgressIdentifier::new("sdks.io", "nowhere");
                effects.kafka_keyed_egress(nowhere, &self.topic, &me.id, &Utf8("lost".to_string())).unwrap();
            }
            "self" => self.egress(context, effects, format!("self={}/{}", me.function_type.get_name(), me.id)),
            "caller" => {
                let caller = context.caller_address();
                let text = match caller.id.as_str() {
                    "" => "none".to_string(),
                    id => format!("{}/{}", caller.function_type.get_name(), id),
                };
                self.egress(context, effects, format!("caller={}", text));
            }
            "sleep" => std::thread::sleep(Duration::from_millis(words[0].parse().unwrap())),
            "fail" => self.fail(words[0], words[1].parse().unwrap()),
            "throw" => panic!("the script throws"),
            unknown => panic!("unknown command {:?}", unknown),
        }
    }

    /// TYPE ID SCRIPT, where + stands for a space and a comma for a semicolon.
    fn message(&self, context: &Context, words: &[&str]) -> (Address, String) {
        let (namespace, name) = words[0].rsplit_once('/').unwrap_or((&self.namespace, words[0]));
        let own = context.self_address().id;
        let id = if words[1] == "self" { &own } else { words[1] };
        (Address::new(FunctionType::new(namespace, name), id), words[2].replace('+', " ").replace(',', ";"))
    }

    fn egress(&self, context: &Context, effects: &mut Effects, text: String) {
        effects.kafka_keyed_egress(out(), &self.topic, &context.self_address().id, &Utf8(text)).unwrap();
    }

    /// Throws the first times that any process sees the token.
    fn fail(&self, token: &str, times: u32) {
        for i in 0..times {
            let mark = format!("{}/{}.{}", self.marks, token, i);
            if OpenOptions::new().write(true).create_new(true).open(mark).is_ok() {
                panic!("the script fails, {} of {}", i + 1, times);
            }
        }
    }
}

fn out() -> EgressIdentifier {
    EgressIdentifier::new("sdks.io", "out")
}

fn set(effects: &mut Effects, name: &str, text: &str) {
    match name {
        "number" => put::<i32>(effects, name, text.parse().unwrap()),
        "flag" => put::<bool>(effects, name, text == "true"),
        "ratio" => put::<f32>(effects, name, text.parse().unwrap()),
        "large" => put::<i64>(effects, name, text.parse().unwrap()),
        "custom" => put(effects, name, Custom(text.to_string())),
        _ => put(effects, name, text.to_string()),
    }
}

fn get(context: &Context, name: &str) -> String {
    match name {
        "number" => show::<i32>(context, name, |n| n.to_string()),
        "flag" => show::<bool>(context, name, |b| b.to_string()),
        "ratio" => show::<f32>(context, name, |x| x.to_string()),
        "large" => show::<i64>(context, name, |n| n.to_string()),
        "custom" => show::<Custom>(context, name, |c| c.0),
        _ => show::<String>(context, name, |s| s),
    }
}

fn delete(effects: &mut Effects, name: &str) {
    match name {
        "number" => effects.delete_state(state::<i32>(name)),
        "flag" => effects.delete_state(state::<bool>(name)),
        "ratio" => effects.delete_state(state::<f32>(name)),
        "large" => effects.delete_state(state::<i64>(name)),
        "custom" => effects.delete_state(state::<Custom>(name)),
        _ => effects.delete_state(state::<String>(name)),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let first = arguments[4] == "1"; // deployment; 2 is the one that adds, drops and changes
    let function = Arc::new(Function {
        namespace: arguments[2].clone(),
        topic: arguments[3].clone(),
        marks: arguments[5].clone(),
    });
    let mut registry = FunctionRegistry::new();
    for name in ["script", "other"] {
        let written = Duration::from_secs(if first { 4 } else { 60 });
        let mut states = specs![
            state::<String>("text"),
            state::<i32>("number"),
            state::<f32>("ratio"),
            state::<i64>("large"),
            state::<Custom>("custom"),
            ValueSpec::<String>::new("written", Expiration::new(ExpirationType::AfterWrite, written)),
            ValueSpec::<String>::new("called", Expiration::new(ExpirationType::AfterInvoke, Duration::from_secs(4)))
        ];
        states.push(if first { state::<bool>("flag").into() } else { state::<String>("fresh").into() });
        let function = Arc::clone(&function);
        registry.register_fn(FunctionType::new(&arguments[2], name), states, move |context, message| {
            function.invoke(&context, &message)
        });
    }
    let address = format!("127.0.0.1:{}", arguments[1]).parse().expect("a port");
    HyperHttpTransport::new(address).run(registry).expect("the server to run");
}
