import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flink.statefun.sdk.java.Address;
import org.apache.flink.statefun.sdk.java.Context;
import org.apache.flink.statefun.sdk.java.StatefulFunction;
import org.apache.flink.statefun.sdk.java.StatefulFunctionSpec;
import org.apache.flink.statefun.sdk.java.StatefulFunctions;
import org.apache.flink.statefun.sdk.java.TypeName;
import org.apache.flink.statefun.sdk.java.ValueSpec;
import org.apache.flink.statefun.sdk.java.handler.RequestReplyHandler;
import org.apache.flink.statefun.sdk.java.io.KafkaEgressMessage;
import org.apache.flink.statefun.sdk.java.message.Message;
import org.apache.flink.statefun.sdk.java.message.MessageBuilder;
import org.apache.flink.statefun.sdk.java.slice.Slice;
import org.apache.flink.statefun.sdk.java.slice.Slices;
import org.apache.flink.statefun.sdk.java.types.SimpleType;
import org.apache.flink.statefun.sdk.java.types.Type;
import org.apache.flink.statefun.sdk.java.types.Types;

/** The scripted function of the SDK suite on the official Java SDK. The little language is told in the suite's package comment. */
public final class Function implements StatefulFunction {
  private static final TypeName OUT = TypeName.typeNameOf("sdks.io", "out");
  private static final TypeName NOWHERE = TypeName.typeNameOf("sdks.io", "nowhere");
  private static final Type<String> CUSTOM =
      SimpleType.simpleImmutableTypeFrom(
          TypeName.typeNameOf("sdks.types", "custom"),
          text -> ('"' + text + '"').getBytes(StandardCharsets.UTF_8),
          bytes -> new String(bytes, 1, bytes.length - 2, StandardCharsets.UTF_8));

  private final String namespace;
  private final String topic;
  private final Path marks;
  private final Map<String, ValueSpec<?>> specs = new HashMap<>();
  private final AtomicInteger inFlight = new AtomicInteger();
  private final AtomicInteger peak = new AtomicInteger();

  private Function(String namespace, String topic, String deployment, String marks) {
    this.namespace = namespace;
    this.topic = topic;
    this.marks = Path.of(marks);
    boolean first = deployment.equals("1"); // 2 is the deployment that adds, drops and changes
    Duration written = Duration.ofSeconds(first ? 4 : 60);
    ValueSpec<?>[] all = {
      ValueSpec.named("text").withUtf8StringType(),
      ValueSpec.named("number").withIntType(),
      ValueSpec.named("ratio").withFloatType(),
      ValueSpec.named("large").withLongType(),
      ValueSpec.named("custom").withCustomType(CUSTOM),
      ValueSpec.named("written").thatExpireAfterWrite(written).withUtf8StringType(),
      ValueSpec.named("called").thatExpiresAfterCall(Duration.ofSeconds(4)).withUtf8StringType(),
      first ? ValueSpec.named("flag").withBooleanType() : ValueSpec.named("fresh").withUtf8StringType(),
    };
    for (ValueSpec<?> spec : all) {
      specs.put(spec.name(), spec);
    }
  }

  @Override
  public CompletableFuture<Void> apply(Context context, Message message) throws IOException, InterruptedException {
    peak.accumulateAndGet(inFlight.incrementAndGet(), Math::max);
    try {
      for (String command : message.asUtf8String().split(";")) {
        run(context, command.split(" ", -1));
      }
    } finally {
      inFlight.decrementAndGet();
    }
    return context.done();
  }

  private void run(Context context, String[] words) throws IOException, InterruptedException {
    switch (words[0]) {
      case "set" -> set(context, words[1], words.length > 2 ? words[2] : "");
      case "del" -> context.storage().remove(specs.get(words[1]));
      case "get" -> egress(context, words[1] + "=" + context.storage().get(specs.get(words[1])).map(Object::toString).orElse("-"));
      case "count" -> {
        ValueSpec<Integer> number = spec("number");
        int n = context.storage().get(number).orElse(0) + 1;
        context.storage().set(number, n);
        egress(context, "count=" + n);
      }
      case "send" -> context.send(message(context, words[1], words[2], words[3]));
      case "after" -> {
        Duration delay = Duration.ofMillis(Long.parseLong(words[1]));
        Message message = message(context, words[3], words[4], words[5]);
        if (words[2].equals("-")) {
          context.sendAfter(delay, message);
        } else {
          context.sendAfter(delay, words[2], message);
        }
      }
      case "cancel" -> context.cancelDelayedMessage(words[1]);
      case "ping" -> {
        int n = Integer.parseInt(words[1]);
        egress(context, "ping " + n);
        if (n > 0) {
          context.send(MessageBuilder.forAddress(context.caller().orElseThrow()).withValue("ping " + (n - 1)).build());
        }
      }
      case "ring" -> {
        egress(context, "ring");
        String[] next = words[1].split(":", 2);
        if (!next[0].isEmpty()) {
          TypeName target = TypeName.typeNameOf(next[0], "script");
          String rest = next.length > 1 ? next[1] : "";
          context.send(MessageBuilder.forAddress(target, context.self().id()).withValue("ring " + rest).build());
        }
      }
      case "egress" -> egress(context, words[1]);
      case "typed" -> context.send(record(context, OUT).withValue(Types.integerType(), Integer.parseInt(words[1])).build());
      case "lost" -> context.send(record(context, NOWHERE).withUtf8Value("lost").build());
      case "self" -> egress(context, "self=" + name(context.self()));
      case "caller" -> egress(context, "caller=" + context.caller().map(Function::name).orElse("none"));
      case "sleep" -> TimeUnit.MILLISECONDS.sleep(Long.parseLong(words[1]));
      case "peak" -> egress(context, "peak=" + peak.get());
      case "fail" -> fail(words[1], Integer.parseInt(words[2]));
      case "throw" -> throw new IllegalStateException("the script throws");
      default -> throw new IllegalStateException("unknown command " + words[0]);
    }
  }

  private void set(Context context, String name, String text) {
    switch (name) {
      case "number" -> context.storage().set(this.<Integer>spec(name), Integer.valueOf(text));
      case "flag" -> context.storage().set(this.<Boolean>spec(name), Boolean.valueOf(text));
      case "ratio" -> context.storage().set(this.<Float>spec(name), Float.valueOf(text));
      case "large" -> context.storage().set(this.<Long>spec(name), Long.valueOf(text));
      default -> context.storage().set(this.<String>spec(name), text);
    }
  }

  @SuppressWarnings("unchecked") // the constructor put each under its name
  private <T> ValueSpec<T> spec(String name) {
    return (ValueSpec<T>) specs.get(name);
  }

  private static String name(Address address) {
    return address.type().name() + "/" + address.id();
  }

  /** TYPE ID SCRIPT, where + stands for a space and a comma for a semicolon. */
  private Message message(Context context, String target, String id, String script) {
    TypeName type = target.contains("/") ? TypeName.typeNameFromString(target) : TypeName.typeNameOf(namespace, target);
    return MessageBuilder.forAddress(type, id.equals("self") ? context.self().id() : id)
        .withValue(script.replace('+', ' ').replace(',', ';'))
        .build();
  }

  private KafkaEgressMessage.Builder record(Context context, TypeName egress) {
    return KafkaEgressMessage.forEgress(egress).withTopic(topic).withUtf8Key(context.self().id());
  }

  private void egress(Context context, String text) {
    context.send(record(context, OUT).withUtf8Value(text).build());
  }

  /** Throws the first times that any process sees the token. */
  private void fail(String token, int times) throws IOException {
    for (int i = 0; i < times; i++) {
      try {
        Files.createFile(marks.resolve(token + "." + i));
      } catch (FileAlreadyExistsException taken) {
        continue;
      }
      throw new IllegalStateException("the script fails, " + (i + 1) + " of " + times);
    }
  }

  private static void serve(RequestReplyHandler handler, HttpExchange exchange) throws IOException {
    try (exchange) {
      Slice answer;
      try {
        answer = handler.handle(Slices.wrap(exchange.getRequestBody().readAllBytes())).join();
      } catch (RuntimeException thrown) {
        exchange.sendResponseHeaders(500, -1);
        return;
      }
      exchange.getResponseHeaders().set("Content-Type", "application/octet-stream");
      // A length of 0 would mean chunks, -1 means none.
      exchange.sendResponseHeaders(200, answer.readableBytes() == 0 ? -1 : answer.readableBytes());
      answer.copyTo(exchange.getResponseBody());
    }
  }

  public static void main(String[] arguments) throws IOException {
    Function function = new Function(arguments[1], arguments[2], arguments[3], arguments[4]);
    StatefulFunctions functions = new StatefulFunctions();
    for (String name : new String[] {"script", "other"}) {
      functions.withStatefulFunction(
          StatefulFunctionSpec.builder(TypeName.typeNameOf(arguments[1], name))
              .withValueSpecs(function.specs.values().toArray(new ValueSpec<?>[0]))
              .withSupplier(() -> function)
              .build());
    }
    RequestReplyHandler handler = functions.requestReplyHandler();
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
    server.setExecutor(Executors.newCachedThreadPool());
    server.createContext("/statefun", exchange -> serve(handler, exchange));
    server.start();
  }
}
