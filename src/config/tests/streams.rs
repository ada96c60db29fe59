//! Kernels that work on bytes and samples (`match`, `rs`, `fir`): what is read from good lines, and where bad ones are at fault.

use std::fs;
use std::path::Path;

use super::{INGRESS, faults, good};
use crate::base::KernelId;
use crate::config::{Fault, load, parse};
use crate::kernel::{KernelSpec, fir, rs};

/// A config whose kernel begins in line 6, its second line at 7.
fn config(lines: &str) -> String {
    format!("{INGRESS}kernel = \"k\"\n\n[kernel.k]\n{lines}\n")
}

fn spec(lines: &str) -> KernelSpec {
    let loaded = good(&config(lines));
    assert_eq!(loaded.warnings, []);
    let settings = loaded.settings;
    // What is in force reads back as the same.
    let shown = settings.to_json()["kernel"]["k"].clone();
    let again = good(&config(&toml::to_string(&shown).expect("plain data"))).settings;
    let spec = settings.kernels.spec(KernelId(0));
    assert_eq!(again.kernels.spec(KernelId(0)), spec, "{shown}");
    spec.expect("it is there").clone()
}

#[test]
fn codes_and_filters_are_what_their_lines_say() {
    let code = |data, parity, task| KernelSpec::Rs(rs::Spec { data, parity, task });
    for (lines, wanted) in [
        ("data = 10\nparity = 2", code(10, 2, rs::Task::Repair)),
        ("data = 1\nparity = 31\ntask = \"encode\"", code(1, 31, rs::Task::Encode)),
        ("data = 31\nparity = 1\ntask = \"repair\"", code(31, 1, rs::Task::Repair)),
    ] {
        assert_eq!(spec(&format!("kind = \"rs\"\n{lines}")), wanted, "{lines}");
    }
    let filter = |taps: &[i16], shift| KernelSpec::Fir(fir::Spec { taps: taps.to_vec(), shift });
    let many = format!("taps = {:?}\nshift = 24", [1; 256]);
    for (lines, wanted) in [
        ("taps = [32767]", filter(&[32_767], 15)),
        ("taps = [-32768, 0, 0x10, 1_000]\nshift = 0", filter(&[-32_768, 0, 16, 1_000], 0)),
        ("taps = [30000, -30000]", filter(&[30_000, -30_000], 15)),
        (&many, filter(&[1; 256], 24)),
    ] {
        assert_eq!(spec(&format!("kind = \"fir\"\n{lines}")), wanted, "{lines}");
    }
}

#[test]
fn patterns_are_numbered_in_the_order_of_their_list() {
    let set = spec("kind = \"match\"\npatterns = [\"b\", \"aü\", \"b\"]");
    let KernelSpec::Match(set) = set else { panic!("{set:?}") };
    assert_eq!((set.patterns.list(), set.file), (&["b", "aü", "b"].map(Vec::from)[..], None));
}

/// The lines below the header; where the fault is; its key; its message; the nearest word.
type Case = (&'static str, (usize, usize), &'static str, &'static str, Option<&'static str>);

const BAD: &[Case] = &[
    ("kind = \"macth\"", (7, 8), "kind", "cannot be \"macth\"", Some("match")),
    ("kind = \"firr\"", (7, 8), "kind", "cannot be \"firr\"", Some("fir")),
    // match
    ("kind = \"match\"", (6, 1), "patterns", "`patterns` is missing in [kernel.k]", None),
    ("kind = \"match\"\npatterns = []", (8, 12), "patterns", "has no pattern", None),
    ("kind = \"match\"\npatterns = \"a\"", (8, 12), "patterns", "must be a list, not a str", None),
    ("kind = \"match\"\npatterns = [\"a\", 1]", (8, 12), "patterns", "that is no string", None),
    ("kind = \"match\"\npatterns = [\"a\", \"\"]", (8, 12), "patterns", "pattern 2 has 0", None),
    (
        "kind = \"match\"\npatterns = [\"a\"]\npattern_file = \"f\"",
        (9, 1),
        "pattern_file",
        "unknown key `pattern_file` in [kernel.k]",
        Some("patterns_file"),
    ),
    (
        "kind = \"match\"\npatterns = [\"a\"]\ntaps = [1]",
        (9, 1),
        "taps",
        "unknown key `taps` in [kernel.k]",
        None,
    ),
    // rs
    ("kind = \"rs\"\nparity = 2", (6, 1), "data", "`data` is missing in [kernel.k]", None),
    ("kind = \"rs\"\ndata = 2", (6, 1), "parity", "`parity` is missing in [kernel.k]", None),
    ("kind = \"rs\"\ndata = 0\nparity = 2", (8, 8), "data", "is 0, out of range", None),
    ("kind = \"rs\"\ndata = 2\nparity = 32", (9, 10), "parity", "is 32, out of range", None),
    ("kind = \"rs\"\ndata = 1.0\nparity = 2", (8, 8), "data", "must be an integer", None),
    (
        "kind = \"rs\"\ndata = 31\nparity = 2",
        (8, 8),
        "data",
        "`data` and `parity` are 33 together",
        None,
    ),
    (
        "kind = \"rs\"\ndata = 2\nparity = 2\ntask = \"repiar\"",
        (10, 8),
        "task",
        "cannot be \"repiar\"",
        Some("repair"),
    ),
    (
        "kind = \"rs\"\ndata = 2\nparity = 2\nprity = 3",
        (10, 1),
        "prity",
        "unknown key `prity` in [kernel.k]",
        Some("parity"),
    ),
    // fir
    ("kind = \"fir\"", (6, 1), "taps", "`taps` is missing in [kernel.k]", None),
    ("kind = \"fir\"\ntaps = []", (8, 8), "taps", "cannot be a filter", None),
    ("kind = \"fir\"\ntaps = 3", (8, 8), "taps", "cannot be a filter", None),
    ("kind = \"fir\"\ntaps = [1, \"2\"]", (8, 8), "taps", "cannot be a filter", None),
    ("kind = \"fir\"\ntaps = [32768]", (8, 8), "taps", "cannot be a filter", None),
    ("kind = \"fir\"\ntaps = [0.5]", (8, 8), "taps", "cannot be a filter", None),
    ("kind = \"fir\"\ntaps = [30000, -30001]", (8, 8), "taps", "cannot be a filter", None),
    ("kind = \"fir\"\ntaps = [1]\nshift = 25", (9, 9), "shift", "is 25, out of range", None),
    ("kind = \"fir\"\ntaps = [1]\nshift = -1", (9, 9), "shift", "is -1, out of range", None),
    (
        "kind = \"fir\"\ntaps = [1]\nshfit = 3",
        (9, 1),
        "shfit",
        "unknown key `shfit` in [kernel.k]",
        Some("shift"),
    ),
];

#[test]
fn every_fault_is_one_fault_with_its_place_and_the_nearest_word() {
    for (lines, at, key, message, nearest) in BAD {
        let text = config(lines);
        let found = faults(&text);
        let [fault] = found.as_slice() else { panic!("{found:#?} in\n{text}") };
        assert_eq!((fault.line, fault.column), *at, "{}\n{text}", fault.message);
        assert_eq!(fault.key, format!("kernel.k.{key}"), "{}\n{text}", fault.message);
        assert!(fault.message.contains(message), "{}\nin\n{text}", fault.message);
        assert_eq!(fault.nearest.as_deref(), *nearest, "{text}");
        let shown = parse("it.toml", &text).expect_err("bad").render(false);
        assert!(shown.starts_with(&format!("it.toml:{}:{}: ", at.0, at.1)), "{shown}");
    }
    let long = format!("kind = \"match\"\npatterns = [\"{}\"]", "a".repeat(257));
    assert!(faults(&config(&long))[0].message.contains("pattern 1 has 257 bytes, not 1 to 256"));
    let taps = format!("kind = \"fir\"\ntaps = {:?}", [0; 257]);
    assert!(faults(&config(&taps))[0].message.contains("cannot be a filter"));
}

#[test]
fn a_fault_of_a_filter_is_shown_with_what_is_allowed() {
    let shown =
        parse("it.toml", &config("kind = \"fir\"\ntaps = [1]\nshfit = 3")).expect_err("bad");
    let golden = "\
it.toml:9:1: unknown key `shfit` in [kernel.k]
  |
9 | shfit = 3
  | ^^^^^ allowed: kind, taps, shift
  |
  = help: did you mean `shift`?
";
    assert_eq!(shown.render(false), golden);
}

/// A config in `folder` whose kernel looks for the lines of that file.
fn from_file(folder: &Path, rest: &str) -> Result<KernelSpec, Vec<Fault>> {
    let file = folder.join("it.toml");
    fs::write(&file, config(&format!("kind = \"match\"\n{rest}"))).expect("a file");
    match load(&file) {
        Ok(loaded) => Ok(loaded.settings.kernels.spec(KernelId(0)).expect("it is there").clone()),
        Err(faults) => Err(faults.list().to_vec()),
    }
}

#[test]
fn a_file_of_patterns_has_one_a_line() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("p"), b"one\r\n\ntwo\nthr\xffee").expect("a file");
    let spec = from_file(dir.path(), "patterns_file = \"p\"").expect("good");
    let KernelSpec::Match(set) = spec else { panic!("{spec:?}") };
    assert_eq!(set.file.as_deref(), Some("p"));
    assert_eq!(set.patterns.list(), [&b"one"[..], b"two", b"thr\xffee"]);
}

#[test]
fn a_file_of_patterns_that_is_none_is_a_fault_at_its_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let here = dir.path();
    fs::write(here.join("empty"), "\r\n\n").expect("a file");
    fs::write(here.join("long"), format!("a\n{}\n", "b".repeat(257))).expect("a file");
    fs::write(here.join("many"), "a\n".repeat(20_001)).expect("a file");
    fs::write(here.join("good"), "a\n").expect("a file");
    let large = fs::File::create(here.join("large")).expect("a file");
    large.set_len((4 << 20) + 1).expect("a sparse file");
    for (value, column, message) in [
        ("\"empty\"", 17, "\"empty\" has no pattern"),
        ("\"long\"", 17, "pattern 2 has 257 bytes, not 1 to 256"),
        ("\"many\"", 17, "has 20001 patterns, more than 20000"),
        ("\"large\"", 17, "is larger than 4 MiB"),
        ("\"none\"", 17, "cannot be read: No such file"),
        ("\"../good\"", 17, "lies outside the config's folder"),
        ("3", 17, "must be a file's name, not an integer"),
        ("\"good\"\npatterns = [\"a\"]", 17, "`patterns` and `patterns_file` exclude each other"),
    ] {
        let faults = from_file(here, &format!("patterns_file = {value}")).expect_err("bad");
        let [fault] = faults.as_slice() else { panic!("{faults:#?}") };
        assert_eq!((fault.line, fault.column), (8, column), "{}", fault.message);
        assert_eq!(fault.key, "kernel.k.patterns_file");
        assert!(fault.message.contains(message), "{}\nhas no\n{message}", fault.message);
    }
}
