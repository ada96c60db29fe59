//! A file in which everything is wrong: one run says it all, in the order of the file, word for word.

use super::super::parse;
use super::{faults, lines};

const EVERYTHING: &str = r#"# Alles falsch: ä ö ü
[workers]
cores = [0, 1, 1]
io = "urin"            # did you mean
idel = "spin"
max_datagram = "64KB"

[priority.high]
budget = "0ms"
value = 0

[controller]
safety = nan
ema_weight = 9

[[ingress]]
name = "a"
listen = "127.0.0.1:8080"
kernel = "wrok"
egress = "bakc"

[[ingress]]
name = "a"
listen = "127.0.0.1:8080"
classify = "header"
budget = 5

[[egress]]
name = "back"
to = "127.0.0.1:9"

[[egress]]
name = "on"
mode = "forward"

[kernel.work]
kind = "spin"
time = "50"

[admin]
listen = "0.0.0.0:9900"

[extra]
x = 1
"#;

#[test]
fn everything_is_said_in_one_run_and_in_source_order() {
    assert_eq!(
        lines(&faults(EVERYTHING)),
        [
            "3:16: `cores[2]` is 1 a second time",
            "4:6: `io` cannot be \"urin\"",
            "5:1: unknown key `idel` in [workers]",
            "6:16: `max_datagram` \"64KB\" has the unknown unit \"KB\": known are B, KiB, MiB or GiB",
            "9:10: `budget` is 0ns, out of range",
            "10:9: `value` is 0, out of range",
            "13:10: `safety` is out of range",
            "14:14: `ema_weight` is 9, not a power of two",
            "19:10: there is no kernel named \"wrok\"",
            "20:10: there is no egress named \"bakc\"",
            "22:1: `egress` is missing in [[ingress]]: there are several",
            "23:8: there is already an ingress named \"a\"",
            "24:10: ingress a already listens on 127.0.0.1:8080",
            "25:12: classify = \"header\" needs framing = \"framed\"",
            "26:10: `budget` must be a duration, not an integer",
            "30:6: `to` does not apply: it is only for mode = \"send\" or \"forward\"",
            "32:1: `to` is missing in [[egress]]",
            "38:8: `time` \"50\" has no unit: ns, us, ms, s, min or h",
            "41:10: `listen` must be a loopback address: the admin page asks for no password",
            "43:2: unknown key `extra`",
        ]
    );
}

#[test]
fn a_fault_is_shown_as_a_line_to_grep_and_an_excerpt() {
    let text =
        "[workers]\nio = \"urin\" # ü\n[[ingress]]\nname = \"i\"\nlisten = \"127.0.0.1:0\"\n";
    let faults = parse("it.toml", text).expect_err("bad");
    let golden = "\
it.toml:2:6: `io` cannot be \"urin\"
  |
2 | io = \"urin\" # ü
  |      ^^^^^^ allowed: \"auto\", \"uring\", \"mio\"
  |
  = help: did you mean `uring`?
";
    assert_eq!(faults.render(false), golden);
    assert_eq!(faults.to_string(), golden.trim_end());
    let colored = faults.render(true);
    assert!(colored.starts_with("it.toml:2:6: `io` cannot be \"urin\"\n"), "{colored}");
    assert!(colored.contains('\u{1b}'), "{colored}");
}

#[test]
fn excerpts_of_other_classes_of_faults() {
    for (text, golden) in [
        (
            "[[ingress]]\nname = \"i\"\nlisten = \"localhost:53\"\n",
            "\
it.toml:3:10: `listen` \"localhost:53\" needs a numeric address (names are not looked up)
  |
3 | listen = \"localhost:53\"
  |          ^^^^^^^^^^^^^^ allowed: IP:PORT, such as \"127.0.0.1:8080\" or \"[::1]:8080\"
",
        ),
        (
            "[[ingress]]\nname = \"i\"\n",
            "\
it.toml:1:1: `listen` is missing in [[ingress]]
  |
1 | [[ingress]]
  | ^^^^^^^^^^^ allowed: IP:PORT, such as \"127.0.0.1:8080\" or \"[::1]:8080\"
",
        ),
        (
            "[[ingress]]\nname = \"i\"\nlisten = \"[::]:1\"\nbudgets = \"1ms\"\n",
            "\
it.toml:4:1: unknown key `budgets` in [[ingress]]
  |
4 | budgets = \"1ms\"
  | ^^^^^^^ allowed: name, listen, priority, classify, highest, budget, framing, kernel, egress, order, empty, sockets
  |
  = help: did you mean `budget`?
",
        ),
        (
            "[[ingress]]\nname = \"i\"\nlisten = \"[::]:1\"\nbudget = \"0us\"\n",
            "\
it.toml:4:10: `budget` is 0ns, out of range
  |
4 | budget = \"0us\"
  |          ^^^^^ allowed: from 1us to 60s
",
        ),
    ] {
        assert_eq!(parse("it.toml", text).expect_err("bad").render(false), golden);
    }
}

#[test]
fn faults_as_json() {
    let value = serde_json::to_value(faults("[[ingress]]\nname = \"i\"\nlistn = 1\nlisten = 2\n"))
        .expect("plain data");
    assert_eq!(
        value,
        serde_json::json!([
            {
                "file": "it.toml", "line": 3, "column": 1, "key": "ingress[0].listn",
                "message": "unknown key `listn` in [[ingress]]",
                "allowed": "name, listen, priority, classify, highest, budget, framing, kernel, egress, order, empty, sockets",
                "nearest": "listen",
            },
            {
                "file": "it.toml", "line": 4, "column": 10, "key": "ingress[0].listen",
                "message": "`listen` must be an address, not an integer",
                "allowed": "IP:PORT, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
                "nearest": null,
            },
        ])
    );
}
