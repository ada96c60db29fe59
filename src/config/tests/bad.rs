//! One snippet for each thing that can be wrong: it gives one fault, with its key, its place and its words.

use super::super::{EMBEDDED_NAME, FILE_MAX, embedded, load, parse};
use super::{INGRESS, faults, lines};

/// A table's header and one line under it; the key at fault; what the message says.
type Case = (&'static str, &'static str, &'static str, &'static str);

const TUNING: &[Case] = &[
    ("[workers]", "cores = \"all\"", "workers.cores", "is neither \"auto\" nor a list"),
    ("[workers]", "cores = []", "workers.cores", "is empty"),
    ("[workers]", "cores = 2", "workers.cores", "must be \"auto\" or a list, not an integer"),
    ("[workers]", "cores = [0, 0]", "workers.cores[1]", "is 0 a second time"),
    ("[workers]", "cores = [1024]", "workers.cores[0]", "is 1024, out of range"),
    ("[workers]", "cores = [-1]", "workers.cores[0]", "is -1, out of range"),
    ("[workers]", "cores = [\"0\"]", "workers.cores[0]", "must be an integer, not a string"),
    ("[workers]", "io = \"epoll\"", "workers.io", "cannot be \"epoll\""),
    ("[workers]", "io = true", "workers.io", "must be a string, not a boolean"),
    ("[workers]", "idle = \"sleep\"", "workers.idle", "cannot be \"sleep\""),
    ("[workers]", "spin = \"11ms\"", "workers.spin", "is 11ms, out of range"),
    ("[workers]", "hold = \"11ms\"", "workers.hold", "is 11ms, out of range"),
    ("[workers]", "spin = 50", "workers.spin", "must be a duration, not an integer"),
    ("[workers]", "layout = \"tierd\"", "workers.layout", "cannot be \"tierd\""),
    ("[workers]", "max_datagram = 63", "workers.max_datagram", "is 63 bytes, out of range"),
    ("[workers]", "max_datagram = \"64KiB\"", "workers.max_datagram", "is 65536 bytes"),
    ("[workers]", "max_datagram = 2e3", "workers.max_datagram", "must be a size, not a float"),
    ("[workers]", "receive_buffer = \"1MB\"", "workers.receive_buffer", "unknown unit \"MB\""),
    ("[workers]", "receive_buffer = -1", "workers.receive_buffer", "is out of range"),
    ("[workers]", "realtime = 100", "workers.realtime", "is 100, out of range"),
    ("[workers]", "realtime = 9223372036854775808", "workers.realtime", "out of range"),
    ("[workers]", "realtime = 0x100", "workers.realtime", "is 0x100, out of range"),
    ("[workers]", "lock_memory = \"yes\"", "workers.lock_memory", "must be true or false"),
    ("[workers]", "drain = \"61s\"", "workers.drain", "is 61s, out of range"),
    ("[workers]", "stall = \"9ms\"", "workers.stall", "is 9ms, out of range"),
    ("[workers]", "stal = \"1s\"", "workers.stal", "unknown key `stal` in [workers]"),
    ("[priority]", "urgent = {}", "priority.urgent", "unknown key `urgent` in [priority]"),
    ("[priority]", "high = \"1ms\"", "priority.high", "must be a table, not a string"),
    ("[priority.high]", "budget = \"0ns\"", "priority.high.budget", "is 0ns, out of range"),
    ("[priority.high]", "budget = \"61s\"", "priority.high.budget", "is 61s, out of range"),
    ("[priority.low]", "budget = \"1.5ms\"", "priority.low.budget", "has a fraction"),
    ("[priority.low]", "budget = \"10\"", "priority.low.budget", "has no unit"),
    ("[priority.low]", "value = 0", "priority.low.value", "is 0, out of range"),
    ("[priority.low]", "value = 4294967296", "priority.low.value", "out of range"),
    ("[priority.best-effort]", "vlaue = 1", "priority.best-effort.vlaue", "unknown key"),
    ("[controller]", "interval = \"1ms\"", "controller.interval", "is 1ms, out of range"),
    ("[controller]", "safety = 0", "controller.safety", "is out of range"),
    ("[controller]", "safety = 0.0", "controller.safety", "is out of range"),
    ("[controller]", "safety = -0.5", "controller.safety", "is out of range"),
    ("[controller]", "safety = 1.01", "controller.safety", "is out of range"),
    ("[controller]", "safety = nan", "controller.safety", "is out of range"),
    ("[controller]", "fill = -0.5", "controller.fill", "is out of range"),
    ("[controller]", "fill = 1.01", "controller.fill", "is out of range"),
    ("[controller]", "safety = \"0.9\"", "controller.safety", "must be a number, not a string"),
    ("[controller]", "ema_weight = 7", "controller.ema_weight", "is 7, not a power of two"),
    ("[controller]", "ema_weight = 1", "controller.ema_weight", "is 1, out of range"),
    ("[controller]", "ema_weight = 128", "controller.ema_weight", "is 128, out of range"),
    ("[controller]", "predictor = \"prefx\"", "controller.predictor", "cannot be \"prefx\""),
    ("[controller]", "margin = \"2s\"", "controller.margin", "is 2s, out of range"),
    ("[controller]", "probes = 1", "controller.probes", "must be true or false, not an integer"),
    ("[controller]", "overload = \"drop\"", "controller.overload", "cannot be \"drop\""),
    ("[controller]", "policy = \"EDF\"", "controller.policy", "cannot be \"EDF\""),
    ("[controller]", "medium_split = [1]", "controller.medium_split", "needs 2 shares and has 1"),
    ("[controller]", "medium_split = [1, 0]", "controller.medium_split[1]", "is 0, out of range"),
    ("[controller]", "medium_split = 1", "controller.medium_split", "must be a list"),
    ("[guard]", "max = \"11ms\"", "guard.max", "is 11ms, out of range"),
    ("[guard]", "enabled = 1979-05-27", "guard.enabled", "must be true or false, not a date"),
    ("[guard]", "require_expected = true", "guard.require_expected", "unknown key"),
    ("[level]", "helpers = -1", "level.helpers", "is -1, out of range"),
    ("[level]", "helpers = 1023", "level.helpers", "1023 helpers, and this process may use"),
    ("[level]", "helpers = 1024", "level.helpers", "is 1024, out of range"),
    ("[level]", "transfer_rule = 0.0", "level.transfer_rule", "is out of range"),
    ("[level]", "transfer_rule = inf", "level.transfer_rule", "is out of range"),
    ("[level]", "transfer_rule = 1e999", "level.transfer_rule", "is out of range"),
    ("[level]", "batch = 0", "level.batch", "is 0, out of range"),
    ("[level]", "batch = 65", "level.batch", "is 65, out of range"),
    ("[level]", "batch = \"double\"", "level.batch", "cannot be \"double\""),
    ("[level]", "mode = \"sed\"", "level.mode", "cannot be \"sed\""),
    ("[level]", "hysteresis = 0.91", "level.hysteresis", "is out of range"),
    ("[level]", "hysteresis = -0.1", "level.hysteresis", "is out of range"),
    ("[level]", "spill_threshold = 0", "level.spill_threshold", "is 0"),
    ("[level]", "max_depth = 65537", "level.max_depth", "is 65537"),
    ("[level.breaker]", "gpu_cost_limit = -1", "level.breaker.gpu_cost_limit", "out of range"),
    ("[level.breaker]", "queue_depth_limit = 0", "level.breaker.queue_depth_limit", "is 0"),
    ("[level.breaker]", "fallback = \"gpu\"", "level.breaker.fallback", "cannot be \"gpu\""),
    ("[level.breaker]", "x = 1", "level.breaker.x", "unknown key `x` in [level.breaker]"),
    ("[level]", "calibration = \"k.json\"", "level.calibration", "this config is no file"),
    ("[level]", "calibration = 3", "level.calibration", "must be a file's name, not an integer"),
    ("[gpu]", "enabled = 1", "gpu.enabled", "must be true or false, not an integer"),
    ("[gpu]", "allow_software = \"no\"", "gpu.allow_software", "must be true or false"),
    ("[gpu]", "time_out = \"999us\"", "gpu.time_out", "is 999us, out of range"),
    ("[gpu]", "time_out = \"10001ms\"", "gpu.time_out", "out of range"),
    ("[gpu]", "slots = 0", "gpu.slots", "is 0, out of range"),
    ("[gpu]", "slots = 9", "gpu.slots", "is 9, out of range"),
    ("[gpu]", "rows = 3", "gpu.rows", "is 3, out of range"),
    ("[gpu]", "rows = 65533", "gpu.rows", "is 65533, out of range"),
    ("[gpu]", "enable = true", "gpu.enable", "unknown key `enable` in [gpu]"),
    ("[admin]", "listen = \"0.0.0.0:9900\"", "admin.listen", "must be a loopback address"),
    ("[admin]", "listen = \"of\"", "admin.listen", "is not an address with a port"),
    ("[admin]", "listen = 9900", "admin.listen", "must be an address, not an integer"),
    ("[admin]", "lisen = \"off\"", "admin.lisen", "unknown key `lisen` in [admin]"),
    ("[wrokers]", "io = \"auto\"", "wrokers", "unknown key `wrokers`"),
    ("[kernel.k]", "kind = \"fft\"", "kernel.k.kind", "cannot be \"fft\""),
    ("[kernel.k]", "kind = 1", "kernel.k.kind", "must be a string, not an integer"),
    ("[kernel.k]", "", "kernel.k.kind", "`kind` is missing in [kernel.k]"),
    ("[kernel.k]", "kind = \"echo\"\ntime = \"1us\"", "kernel.k.time", "unknown key `time`"),
    ("[kernel.k]", "kind = \"spin\"", "kernel.k.time", "`time` is missing in [kernel.k]"),
    ("[kernel.k]", "kind = \"spin\"\ntime = \"5s\"", "kernel.k.time", "is 5s, out of range"),
    ("[kernel]", "k = 3", "kernel.k", "`k` must be a table, not an integer"),
    ("[kernel]", "\"a b\" = { kind = \"echo\" }", "kernel.a b", "\"a b\" is not a name"),
];

#[test]
fn every_fault_of_tuning_is_one_fault_with_its_key() {
    for (table, line, key, message) in TUNING {
        one_fault(&format!("{INGRESS}{table}\n{line}\n"), key, message);
    }
}

/// Lines of the one `[[ingress]]`, beside its name and address.
const INGRESS_LINES: &[(&str, &str, &str)] = &[
    ("priority = \"urgent\"", "ingress[0].priority", "cannot be \"urgent\""),
    ("classify = \"port\"", "ingress[0].classify", "cannot be \"port\""),
    ("classify = \"header\"", "ingress[0].classify", "needs framing = \"framed\""),
    ("highest = \"best_effort\"", "ingress[0].highest", "cannot be \"best_effort\""),
    ("budget = \"0us\"", "ingress[0].budget", "is 0ns, out of range"),
    ("budget = \"999ns\"", "ingress[0].budget", "is 999ns, out of range"),
    ("budget = \"2min\"", "ingress[0].budget", "is 120s, out of range"),
    ("budgte = \"1ms\"", "ingress[0].budgte", "unknown key `budgte` in [[ingress]]"),
    ("framing = \"header\"", "ingress[0].framing", "cannot be \"header\""),
    ("kernel = \"work\"", "ingress[0].kernel", "there is no kernel named \"work\""),
    ("kernel = \"spin\"", "ingress[0].kernel", "spin is a kind with parameters"),
    ("kernel = {}", "ingress[0].kernel", "must be a string, not a table"),
    ("egress = \"back\"", "ingress[0].egress", "there is no egress named \"back\""),
    ("order = \"class\"", "ingress[0].order", "cannot be \"class\""),
    ("empty = \"echo\"", "ingress[0].empty", "cannot be \"echo\""),
    ("sockets = \"one\"", "ingress[0].sockets", "does not apply: it is only for classify"),
    ("classify = \"dscp\"\nsockets = \"two\"", "ingress[0].sockets", "cannot be \"two\""),
];

#[test]
fn every_fault_of_an_ingress_is_one_fault_with_its_key() {
    for (line, key, message) in INGRESS_LINES {
        one_fault(&format!("{INGRESS}{line}\n"), key, message);
    }
    for (text, key, message) in [
        ("", "", "there is no [[ingress]]"),
        ("ingress = []", "", "there is no [[ingress]]"),
        ("[ingress]\nname = \"in\"", "ingress", "`ingress` must be a list of tables, not a table"),
        ("ingress = [1]", "ingress[0]", "`ingress[0]` must be a table, not an integer"),
        ("[[ingress]]\nname = \"in\"", "ingress[0].listen", "`listen` is missing in [[ingress]]"),
        ("[[ingress]]\nlisten = \"[::1]:0\"", "ingress[0].name", "`name` is missing"),
        ("[[ingress]]\nname = \"\"\nlisten = \"[::1]:0\"", "ingress[0].name", "is not a name"),
        ("[[ingress]]\nname = \"ü\"\nlisten = \"[::1]:0\"", "ingress[0].name", "is not a name"),
        (
            "[[ingress]]\nname = \"i\"\nlisten = \"::1:80\"",
            "ingress[0].listen",
            "is not an address",
        ),
        (
            "[[ingress]]\nname = \"i\"\nlisten = \"1.1.1.1\"",
            "ingress[0].listen",
            "is not an address",
        ),
        ("[[ingress]]\nname = \"i\"\nlisten = \"1.1.1.1:65536\"", "ingress[0].listen", "is not an"),
        ("[[ingress]]\nname = \"i\"\nlisten = \"a.b:53\"", "ingress[0].listen", "numeric address"),
    ] {
        one_fault(text, key, message);
    }
}

/// Lines of the one `[[egress]]`, beside its name.
const EGRESS_LINES: &[(&str, &str, &str)] = &[
    ("mode = \"replay\"", "egress[0].mode", "cannot be \"replay\""),
    ("mode = \"send\"", "egress[0].to", "`to` is missing in [[egress]]"),
    ("mode = \"forward\"", "egress[0].to", "`to` is missing in [[egress]]"),
    ("to = \"127.0.0.1:9\"", "egress[0].to", "`to` does not apply"),
    ("mode = \"send\"\nto = \"127.0.0.1:0\"", "egress[0].to", "has port 0"),
    ("mode = \"send\"\nto = \"0.0.0.0:9\"", "egress[0].to", "has no host"),
    ("mode = \"send\"\nto = \"nine\"", "egress[0].to", "is not an address"),
    ("late = \"keep\"", "egress[0].late", "cannot be \"keep\""),
    ("budget = \"61s\"", "egress[0].budget", "is 61s, out of range"),
    ("amplification = 0", "egress[0].amplification", "is out of range"),
    ("amplification = 100.5", "egress[0].amplification", "is out of range"),
    ("low_source_ports = \"deny\"", "egress[0].low_source_ports", "cannot be \"deny\""),
    ("sessions = 5", "egress[0].sessions", "`sessions` does not apply"),
    ("idle_timeout = \"5s\"", "egress[0].idle_timeout", "does not apply"),
    ("answers = 1", "egress[0].answers", "does not apply"),
    ("mode = \"forward\"\nto = \"[::1]:9\"\nsessions = 0", "egress[0].sessions", "is 0, out of"),
    ("mode = \"forward\"\nto = \"[::1]:9\"\nsessions = 60001", "egress[0].sessions", "is 60001"),
    (
        "mode = \"forward\"\nto = \"[::1]:9\"\nidle_timeout = \"2h\"",
        "egress[0].idle_timeout",
        "is 7200s",
    ),
    (
        "mode = \"forward\"\nto = \"[::1]:9\"\nanswers = -1",
        "egress[0].answers",
        "is -1, out of range",
    ),
    ("mode = \"send\"\nto = \"[::1]:9\"\namplification = 1", "egress[0].amplification", "does not"),
    (
        "mode = \"send\"\nto = \"[::1]:9\"\nlow_source_ports = \"drop\"",
        "egress[0].low_source_ports",
        "does not",
    ),
    ("lat = \"drop\"", "egress[0].lat", "unknown key `lat` in [[egress]]"),
];

#[test]
fn every_fault_of_an_egress_is_one_fault_with_its_key() {
    for (line, key, message) in EGRESS_LINES {
        one_fault(&format!("{INGRESS}[[egress]]\nname = \"out\"\n{line}\n"), key, message);
    }
}

/// What stands in the braces of a spin kernel's `distribution`.
const DISTRIBUTIONS: &[(&str, &str, &str)] = &[
    ("", "kind", "`kind` is missing"),
    ("kind = \"normal\"", "kind", "cannot be \"normal\""),
    ("kind = \"uniform\", min = \"1us\"", "max", "`max` is missing"),
    ("kind = \"uniform\", min = \"2us\", max = \"1us\"", "max", "is 1us, less than `min`"),
    ("kind = \"uniform\", min = \"1us\", max = \"2us\", mean = \"1us\"", "mean", "unknown key"),
    ("kind = \"exponential\"", "mean", "`mean` is missing"),
    ("kind = \"exponential\", mean = \"0us\"", "mean", "is 0ns, out of range"),
    ("kind = \"bimodal\", short = \"1us\", long = \"2us\"", "share", "`share` is missing"),
    ("kind = \"bimodal\", short = \"1us\", long = \"2us\", share = 1.1", "share", "out of range"),
    (
        "kind = \"bimodal\", short = \"3us\", long = \"2us\", share = 0.1",
        "long",
        "less than `short`",
    ),
    ("kind = \"payload\", max = \"5s\"", "max", "is 5s, out of range"),
];

#[test]
fn every_fault_of_a_distribution_is_one_fault_with_its_key() {
    for (inside, key, message) in DISTRIBUTIONS {
        let text = format!("{INGRESS}[kernel.k]\nkind = \"spin\"\ndistribution = {{ {inside} }}\n");
        one_fault(&text, &format!("kernel.k.distribution.{key}"), message);
    }
    let both =
        "kind = \"spin\"\ntime = \"1us\"\ndistribution = { kind = \"payload\", max = \"1us\" }";
    one_fault(&format!("{INGRESS}[kernel.k]\n{both}\n"), "kernel.k.time", "exclude each other");
    let wrong = "kind = \"spin\"\ndistribution = \"uniform\"";
    one_fault(
        &format!("{INGRESS}[kernel.k]\n{wrong}\n"),
        "kernel.k.distribution",
        "must be a table",
    );
}

fn one_fault(text: &str, key: &str, message: &str) {
    let found = faults(text);
    let [fault] = found.as_slice() else { panic!("{:#?} in\n{text}", lines(&found)) };
    assert_eq!(fault.key, key, "{} in\n{text}", fault.message);
    assert!(fault.message.contains(message), "{} in\n{text}", fault.message);
    // The place is where the key's table, name or value begins: never blank.
    let line = text.lines().nth(fault.line - 1).unwrap_or_default();
    let at = line.chars().nth(fault.column - 1);
    assert!(text.is_empty() || at.is_some_and(|c| !c.is_whitespace()), "{fault:?} in\n{text}");
}

#[test]
fn relations_between_entries() {
    let two = |second: &str| format!("{INGRESS}\n[[ingress]]\n{second}\n");
    for (text, place, message) in [
        (two("name = \"in\"\nlisten = \"127.0.0.1:0\""), (6, 8), "already an ingress named \"in\""),
        (
            "[[ingress]]\nname = \"a\"\nlisten = \"[::1]:80\"\n[[ingress]]\nname = \"b\"\nlisten = \"[0:0::1]:80\"\n".to_owned(),
            (6, 10),
            "ingress a already listens on [::1]:80",
        ),
        (
            format!("{INGRESS}[[egress]]\nname = \"o\"\n[[egress]]\nname = \"o\"\n").replace("listen", "egress = \"o\"\nlisten"),
            (8, 8),
            "already an egress named \"o\"",
        ),
        (
            format!("{INGRESS}[[egress]]\nname = \"o\"\n[[egress]]\nname = \"p\"\n"),
            (1, 1),
            "`egress` is missing in [[ingress]]: there are several",
        ),
        (
            format!("{INGRESS}[workers]\nlayout = \"tiered\"\ncores = [0]\n"),
            (5, 10),
            "a tiered layout needs at least two workers",
        ),
        (
            format!("{INGRESS}[workers]\nmax_datagram = 9000\nreceive_buffer = \"4KiB\"\n"),
            (6, 18),
            "does not hold one datagram",
        ),
        (
            "[[ingress]]\nname = \"a\"\nlisten = \"0.0.0.0:53\"\n[[egress]]\nname = \"o\"\nmode = \"send\"\nto = \"127.0.0.1:53\"\n".to_owned(),
            (1, 1),
            "egress o sends to this very ingress",
        ),
    ] {
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{:#?} in\n{text}", lines(&found));
        assert_eq!((found[0].line, found[0].column), place, "{} in\n{text}", found[0].message);
        assert!(found[0].message.contains(message), "{}", found[0].message);
    }
}

#[test]
fn one_fault_does_not_cause_another() {
    // A wrong mode: what belongs to it is not guessed. A wrong kernel or egress: its name still counts.
    for text in [
        format!("{INGRESS}[[egress]]\nname = \"o\"\nmode = \"sned\"\nto = \"127.0.0.1:9\"\n"),
        format!("{INGRESS}kernel = \"w\"\n[kernel.w]\nkind = \"spin\"\ntime = \"1\"\n"),
        format!("{INGRESS}egress = \"o\"\n[[egress]]\nname = \"o!\"\n"),
        format!("{INGRESS}classify = \"headr\"\nframing = \"raw\"\nsockets = \"one\"\n"),
        format!("{INGRESS}egress = \"o\"\n[egress]\nname = \"o\"\n"),
    ] {
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{:#?} in\n{text}", lines(&found));
    }
}

#[test]
fn too_many_entries_are_refused() {
    let ingress: String = (0..65)
        .map(|i| format!("[[ingress]]\nname = \"i{i}\"\nlisten = \"127.0.0.1:0\"\n"))
        .collect();
    assert_eq!(lines(&faults(&ingress)), ["193:1: more than 64 ingresses"]);
    let kernels: String = (0..65).map(|i| format!("[kernel.k{i}]\nkind = \"echo\"\n")).collect();
    assert_eq!(lines(&faults(&format!("{INGRESS}{kernels}"))), ["132:9: more than 64 kernels"]);
}

#[test]
fn nearest_words_are_offered() {
    for (line, nearest) in [
        ("budgte = \"1ms\"", Some("budget")),
        ("Kernel = \"echo\"", Some("kernel")),
        ("kernel = \"crc32\"", Some("crc32c")),
        ("priority = \"hgih\"", Some("high")),
        ("priority = \"best_effort\"", Some("best-effort")),
        ("order = \"flows\"", Some("flow")),
        ("colour = 1", None),
    ] {
        let found = faults(&format!("{INGRESS}{line}\n"));
        assert_eq!(found[0].nearest.as_deref(), nearest, "{line}");
    }
    let egress = format!("{INGRESS}egress = \"bakc\"\n[[egress]]\nname = \"back\"\n");
    assert_eq!(faults(&egress)[0].nearest.as_deref(), Some("back"));
    assert_eq!(faults(&egress)[0].allowed.as_deref(), Some("back"));
}

#[test]
fn places_are_exact_after_text_beyond_ascii_tabs_and_both_line_ends() {
    for (text, place) in [
        ("# ünïcödé → 漢字\r\n[workers]\r\nidel = 1", (3, 1)),
        ("workers = { \"ключ\" = 1 }", (1, 13)),
        ("workers.idle = \"spin\" # ü\nworkers.\"ü\".x = 2", (2, 9)),
        ("admin = { listen = \"off\", \"é\" = \"é\", io = 3 }", (1, 27)),
        ("\u{feff}idel = 1", (1, 1)),
        ("workers = {\tio = \"é\" }", (1, 18)),
    ] {
        let found = faults(&format!("{text}\n"));
        let has = found.iter().any(|f| (f.line, f.column) == place);
        // The other fault is that there is no ingress, at 1:1.
        assert!(has && found.len() >= 2, "{:#?} in\n{text}", lines(&found));
    }
    let second = faults("admin = { listen = \"off\", \"é\" = \"é\", io = 3 }\n");
    assert_eq!((second[2].line, second[2].column), (1, 38));
}

#[test]
fn broken_syntax_is_said_once_a_line_and_ends_the_check() {
    let found = faults("[workers\nio = \"x\"\n");
    assert_eq!(lines(&found)[0], "1:9: unclosed table, expected `]`");
    let found = faults("a = = 1\n[workers]\nio = nope nope\n");
    assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [1, 3], "{:?}", lines(&found));
}

#[test]
fn a_key_given_twice_does_not_hide_other_faults() {
    let found = faults(&format!("{INGRESS}name = \"x\"\nbudget = \"0s\"\n"));
    assert_eq!(lines(&found), ["4:1: duplicate key", "5:10: `budget` is 0ns, out of range"]);
}

#[test]
fn files_that_are_no_text_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a file");
        load(&path).expect_err("not a config").list()[0].clone()
    };
    let fault = said(b"[workers]\nio = \"\xff\"\n");
    assert_eq!((fault.line, fault.column), (2, 7));
    assert_eq!(fault.message, "a byte that is not UTF-8");
    let size = usize::try_from(FILE_MAX).expect("fits") + 1;
    assert!(said(&vec![b'#'; size]).message.contains("is larger than 1048576 bytes"));
    let directory = load(dir.path()).expect_err("a directory").to_string();
    assert!(directory.contains("cannot be read: Is a directory"), "{directory}");
}

#[test]
fn a_message_takes_one_line_whatever_the_file_says() {
    let found = faults(&format!("{INGRESS}\"a\\nb\\u001b[31m\" = 1\n"));
    assert_eq!(found[0].message.lines().count(), 1);
    assert!(!found[0].message.contains('\u{1b}'));
    let long = "x".repeat(100_000);
    let faults = parse(EMBEDDED_NAME, &format!("workers.io = \"{long}\"\n{}", embedded()));
    assert!(faults.expect_err("bad").to_string().len() < 4_000);
}
