//! The words hold: links lead somewhere, command lines parse, examples are accepted, and the reference tables name exactly
//! what the program knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use punctual::base::DropReason;
use punctual::config;

/// The least that completes an excerpt to a config.
const INGRESS: &str = "\n[[ingress]]\nname = \"in\"\nlisten = \"127.0.0.1:0\"\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every document, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let here = ["", "docs"].map(|dir| root().join(dir));
    let files = here.iter().flat_map(|dir| std::fs::read_dir(dir).expect("a folder of ours"));
    let mut all: Vec<PathBuf> = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    all.sort();
    assert!(all.len() >= 10, "{all:?}");
    all.into_iter().map(|path| (path.clone(), read(path))).collect()
}

/// Fenced blocks: the words after the fence, the text, and the line where it begins.
fn blocks(text: &str) -> Vec<(String, String, usize)> {
    let mut all = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => all.extend(open.take()),
            (Some(words), None) => open = Some((words.trim().to_owned(), String::new(), number)),
            (None, Some((_, body, _))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    all
}

/// The text without what stands in fences.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// As the sites that show these files make anchors of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|l| l.starts_with('#'));
    let anchor = |line: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let ends = prose.match_indices("](").map(|(at, _)| at + 2);
    ends.filter_map(|at| prose[at..].split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut seen = 0;
    for (path, text) in documents() {
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            let known = anchor.is_empty() || anchors(&read(&target)).contains(anchor);
            assert!(known, "{}: {link} has no such heading", path.display());
        }
    }
    assert!(seen > 30, "only {seen} links were seen");
}

/// Every command line of ours in code, without what the shell does with it.
fn command_lines(text: &str) -> Vec<String> {
    let fenced = blocks(text).into_iter().filter(|(words, ..)| words == "sh");
    let lines = fenced.flat_map(|(_, body, _)| {
        body.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let prose = prose(text);
    let spans = prose.split('`').skip(1).step_by(2).map(|s| s.replace('\n', " "));
    lines
        .chain(spans)
        .filter_map(|line| {
            let line = line.trim();
            let ours = ["punctual ", "cargo run --release -- ", "./target/release/punctual "];
            let args = ours.iter().find_map(|start| line.strip_prefix(start))?;
            let end = args.find([';', '|', '>', '&', '#']).unwrap_or(args.len());
            Some(args[..end].trim().to_owned())
        })
        .collect()
}

#[test]
fn every_command_line_parses() {
    let mut seen = 0;
    for (path, text) in documents() {
        for line in command_lines(&text) {
            // Placeholders of a synopsis.
            if line.contains('…') || line.contains('[') {
                continue;
            }
            seen += 1;
            let output = Command::new(env!("CARGO_BIN_EXE_punctual"))
                .args(line.split_whitespace())
                .arg("--help")
                .output()
                .expect("the program");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: punctual {line}\n{said}", path.display());
        }
    }
    assert!(seen > 15, "only {seen} command lines were seen");
}

#[test]
fn files_named_on_command_lines_exist() {
    for (path, text) in documents() {
        for word in command_lines(&text).iter().flat_map(|line| line.split_whitespace()) {
            if word.starts_with("configs/") {
                assert!(root().join(word).exists(), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn every_example_config_is_accepted() {
    let mut seen = 0;
    for (path, text) in documents() {
        for (words, body, line) in blocks(&text) {
            let text = match words.as_str() {
                "toml" => body,
                "toml excerpt" => body + INGRESS,
                "toml plan" => {
                    let plan = config::plan::parse("plan", &body, &root().join("configs/sim"));
                    plan.unwrap_or_else(|faults| panic!("{faults}"));
                    continue;
                }
                _ => continue,
            };
            seen += 1;
            let name = format!("{}, block at line {line}", path.display());
            match config::parse(&name, &text) {
                Ok(loaded) => assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings),
                Err(faults) => panic!("{faults}"),
            }
        }
    }
    assert!(seen >= 4, "only {seen} examples were seen");
}

/// First cells of the tables in `text` whose rows begin with a word in backticks.
fn first_cells(text: &str) -> Vec<String> {
    let row = |line: &str| {
        let cell = line.strip_prefix("| `")?;
        Some(cell.split_once('`')?.0.to_owned())
    };
    text.lines().filter_map(row).collect()
}

/// The keys that the reader knows at a place: what it lists as allowed when it meets one that it does not know.
fn known(config: &str) -> Vec<String> {
    let Err(faults) = config::parse("it.toml", config) else { panic!("no fault in\n{config}") };
    let unknown = faults.list().iter().find(|f| f.message.contains("unknown key `zzz`"));
    let allowed = unknown.and_then(|f| f.allowed.clone());
    let allowed = allowed.unwrap_or_else(|| panic!("{faults}\nin\n{config}"));
    allowed.split(", ").map(str::to_owned).collect()
}

/// Every key that the reader knows, dotted, `NAME` standing for names.
fn keys_of_the_reader() -> BTreeSet<String> {
    let spin = "[kernel.k]\nkind = \"spin\"\n";
    let shape =
        |kind: &str| format!("{spin}distribution = {{ kind = \"{kind}\", zzz = 1 }}\n{INGRESS}");
    let mut all = BTreeSet::new();
    let mut sections: BTreeSet<&str> = BTreeSet::from([""]);
    let mut add = |at: &'static str, config: &str| {
        let prefix = if at.is_empty() { String::new() } else { format!("{at}.") };
        all.extend(known(config).into_iter().map(|key| format!("{prefix}{key}")));
        sections.insert(at);
    };
    add("", &format!("zzz = 1\n{INGRESS}"));
    for at in
        ["workers", "controller", "guard", "kernels", "level", "level.breaker", "gpu", "admin"]
    {
        add(at, &format!("[{at}]\nzzz = 1\n{INGRESS}"));
    }
    add("priority", &format!("[priority]\nzzz = 1\n{INGRESS}"));
    add("priority.NAME", &format!("[priority.high]\nzzz = 1\n{INGRESS}"));
    add("ingress", &format!("{INGRESS}zzz = 1\n"));
    add("egress", &format!("[[egress]]\nname = \"e\"\nzzz = 1\n{INGRESS}"));
    add("kernel.NAME", &format!("{spin}time = \"1us\"\nzzz = 1\n{INGRESS}"));
    let mlp = "[kernel.k]\nkind = \"mlp\"\nweights = \"w\"\n";
    add("kernel.NAME", &format!("{mlp}zzz = 1\n{INGRESS}"));
    for kind in ["match", "rs", "fir"] {
        let config = format!("[kernel.k]\nkind = \"{kind}\"\nzzz = 1\n{INGRESS}");
        add("kernel.NAME", &config);
    }
    for kind in ["uniform", "exponential", "bimodal", "payload"] {
        add("kernel.NAME.distribution", &shape(kind));
    }
    sections.insert("kernel");
    // A table, and a key that excludes another one.
    sections.remove("kernel.NAME.distribution");
    let class = |key: &String| {
        let class = key.strip_prefix("priority.");
        class.is_some_and(|c| c != "NAME" && !c.starts_with("NAME."))
    };
    all.retain(|key| !class(key) && !sections.contains(key.as_str()));
    all
}

#[test]
fn the_reference_names_exactly_the_keys_that_the_reader_knows() {
    let rows = first_cells(&read("docs/configuration.md"));
    let rows: Vec<&String> = rows.iter().filter(|key| key.contains('.')).collect();
    let written: BTreeSet<String> = rows.iter().map(|key| (*key).clone()).collect();
    assert_eq!(written.len(), rows.len(), "a key is described twice");
    let known = keys_of_the_reader();
    assert!(known.len() > 60, "{known:?}");
    let missing: Vec<_> = known.difference(&written).collect();
    let invented: Vec<_> = written.difference(&known).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, extra {invented:?}");
}

#[test]
fn keys_shown_as_in_force_are_in_the_reference() {
    fn paths(at: &str, value: &serde_json::Value, into: &mut BTreeSet<String>) {
        let below = |key: &str| match at {
            "" => key.to_owned(),
            "priority" | "kernel" => format!("{at}.NAME"),
            _ => format!("{at}.{key}"),
        };
        match value {
            serde_json::Value::Object(all) => {
                all.iter().for_each(|(key, value)| paths(&below(key), value, into));
            }
            serde_json::Value::Array(all) if all.iter().all(serde_json::Value::is_object) => {
                all.iter().for_each(|value| paths(at, value, into));
            }
            _ => {
                into.insert(at.to_owned());
            }
        }
    }
    let settings = config::parse("default.toml", config::embedded()).expect("it is good").settings;
    let mut shown = BTreeSet::new();
    paths("", &settings.to_json(), &mut shown);
    let written: BTreeSet<String> =
        first_cells(&read("docs/configuration.md")).into_iter().collect();
    let unknown: Vec<_> = shown
        .difference(&written)
        .filter(|key| !key.starts_with("ingress.budgets_in_force."))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_reference_says_which_keys_are_live() {
    let source = read("src/cli/reload.rs");
    // Each live key is taken up by a line `in_force.a.b = wanted.a.b;`.
    let taken_up = |line: &str| {
        let (to, from) = line.trim().strip_suffix(';')?.split_once(" = ")?;
        let (to, from) = (to.strip_prefix("in_force.")?, from.strip_prefix("wanted.")?);
        (to == from).then(|| to.to_owned())
    };
    let live: BTreeSet<String> = source.lines().filter_map(taken_up).collect();
    let live: BTreeSet<&str> = live.iter().map(String::as_str).collect();
    let text = read("docs/configuration.md");
    let row = |line: &str| {
        let key = line.strip_prefix("| `")?.split_once('`')?.0;
        let last = line.trim_end().strip_suffix('|')?.rsplit('|').next()?.trim().to_owned();
        key.contains('.').then(|| (key.to_owned(), last))
    };
    let rows: Vec<(String, String)> = text.lines().filter_map(row).collect();
    let said: BTreeSet<&str> =
        rows.iter().filter(|(_, last)| last == "live").map(|(key, _)| key.as_str()).collect();
    assert_eq!(said, live);
    assert!(rows.iter().all(|(_, last)| last == "live" || last == "restart"), "{rows:?}");
}

#[test]
fn the_wire_page_numbers_every_drop_reason() {
    let text = read("docs/wire.md");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split('|').map(str::trim);
        let number: usize = cells.next()?.parse().ok()?;
        let label = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        Some((number, label))
    };
    let rows: Vec<(usize, String)> = text.lines().filter_map(row).collect();
    let reasons: Vec<(usize, String)> =
        DropReason::ALL.iter().map(|r| (r.index(), r.label().to_owned())).collect();
    assert_eq!(rows, reasons);
}

/// Every source file below `folder`, by its path.
fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push((path.with_extension("").display().to_string(), read(&path)));
        }
    }
}

/// `file::function` in backticks: a test that a page names as its proof, or a rule that it explains.
#[test]
fn functions_that_are_named_exist() {
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root().join(folder), &mut all);
    }
    let mut seen = 0;
    for page in ["docs/reliability.md", "docs/scheduling.md", "docs/leveling.md"] {
        let text = prose(&read(page));
        let spans = text.split('`').skip(1).step_by(2);
        for (file, name) in spans.filter_map(|span| span.split_once("::")) {
            seen += 1;
            let file = file.to_lowercase();
            let declared = all.iter().any(|(path, source)| {
                path.split('/').any(|part| part == file)
                    && [format!("fn {name}("), format!("fn {name}<")]
                        .iter()
                        .any(|f| source.contains(f))
            });
            assert!(declared, "{page}: there is no {file}::{name}");
        }
    }
    assert!(seen > 40, "only {seen} were seen");
}

#[test]
fn the_operations_page_describes_every_metric() {
    use punctual::base::{Instant, Nanos};
    use punctual::telemetry::{Names, Snapshot, prometheus};
    let none = Snapshot::new(Arc::new(Names::default()), Instant::ZERO, Nanos::ZERO, Vec::new());
    let text = prometheus::render(&Arc::new(none)).expect("text");
    let name = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let end = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        Some(format!("{name}{end}"))
    };
    let shown: BTreeSet<String> = text.lines().filter_map(name).collect();
    let page = first_cells(&read("docs/operations.md")).into_iter();
    let written: BTreeSet<String> = page.filter(|cell| cell.starts_with("punctual_")).collect();
    assert_eq!(written, shown);
}
