//! `punctual check`: says what is wrong with a config file, without starting anything.
//!
//! Knows no rule: it runs the very check that `serve` runs.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use crate::config::{self, Fault, Faults, Loaded};

/// Nothing is wrong.
const OK: u8 = 0;
/// Something is: `EX_CONFIG` of sysexits.
const WRONG_CONFIG: u8 = 78;

/// What `check` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The config file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Checks the file and prints what was found; the answer is the exit code: 0, or 78 where anything is wrong with the
/// file, that it cannot be read included.
#[must_use]
pub fn run(args: &CheckArgs) -> u8 {
    let mut out = io::stdout().lock();
    let color = out.is_terminal() && color_wanted();
    check(args, color, &mut out)
}

fn check(args: &CheckArgs, color: bool, out: &mut impl Write) -> u8 {
    let result = config::load(&args.file);
    // A reader that went away (`check x | head`) does not change what the file is.
    let _ = print(args, &result, color, out);
    if result.is_ok() { OK } else { WRONG_CONFIG }
}

#[expect(clippy::disallowed_methods, reason = "NO_COLOR is a convention of the environment")]
fn color_wanted() -> bool {
    std::env::var("NO_COLOR").map_or(true, |v| v.is_empty())
}

fn print(
    args: &CheckArgs,
    result: &Result<Loaded, Faults>,
    color: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let file = args.file.display();
    if args.json {
        return writeln!(out, "{}", json(&file.to_string(), result));
    }
    match result {
        Ok(loaded) => {
            out.write_all(loaded.render_warnings(color).as_bytes())?;
            writeln!(out, "{file}: ok ({})", summary(loaded))?;
            writeln!(out, "{file}: runs on {}", backends(loaded).join(", "))?;
        }
        Err(faults) => {
            out.write_all(faults.render(color).as_bytes())?;
            writeln!(out, "{file}: {}", counted(faults.list().len(), "fault"))?;
        }
    }
    out.flush()
}

fn json(file: &str, result: &Result<Loaded, Faults>) -> serde_json::Value {
    let (faults, warnings): (&[Fault], &[Fault]) = match result {
        Ok(loaded) => (&[], &loaded.warnings),
        Err(faults) => (faults.list(), &[]),
    };
    serde_json::json!({
        "version": 1,
        "file": file,
        "ok": result.is_ok(),
        "backends": result.as_ref().map_or_else(|_| Vec::new(), backends),
        "faults": faults,
        "warnings": warnings,
    })
}

/// What the file has batches run on. A GPU is not looked for: a machine without one is no fault of the file.
fn backends(loaded: &Loaded) -> Vec<String> {
    let settings = &loaded.settings;
    let simd = match settings.kernels.level() {
        Ok(level) => level.word().to_owned(),
        Err(_) => format!("{}, which this machine does not have", settings.kernels.simd().word()),
    };
    let mut all = vec![format!("cores ({simd})")];
    match settings.level.helpers {
        0 => {}
        helpers => all.push(counted(helpers, "helper")),
    }
    if settings.gpu.enabled {
        let software = if settings.gpu.allow_software { ", software allowed" } else { "" };
        all.push(format!("a GPU if there is one at start{software}"));
    }
    all
}

fn summary(loaded: &Loaded) -> String {
    let settings = &loaded.settings;
    let mut parts = vec![
        counted(settings.ingress.len(), "ingress"),
        counted(settings.egress.len(), "egress"),
        counted(settings.kernels.len(), "kernel"),
    ];
    if !loaded.warnings.is_empty() {
        parts.push(counted(loaded.warnings.len(), "warning"));
    }
    parts.join(", ")
}

fn counted(n: usize, noun: &str) -> String {
    let plural = match (n, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, json: bool) -> (String, u8) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("it.toml");
        std::fs::write(&file, text).expect("a file");
        let args = CheckArgs { file, json };
        let mut out = Vec::new();
        let code = check(&args, false, &mut out);
        let out = String::from_utf8(out).expect("text");
        (out.replace(&dir.path().display().to_string(), ""), code)
    }

    #[test]
    fn a_good_file_is_summed_up() {
        let (out, code) = said(config::embedded(), false);
        let level = crate::kernel::simd::Level::detect();
        let runs_on = format!("/it.toml: runs on cores ({level})\n");
        assert_eq!(out, format!("/it.toml: ok (3 ingresses, 1 egress, 1 kernel)\n{runs_on}"));
        assert_eq!(code, 0);
    }

    #[test]
    fn a_warning_is_said_and_does_not_fail() {
        let text = format!("{}\n[level]\n", config::embedded());
        let (out, code) = said(&text, false);
        assert!(out.contains(": warning: [level] takes effect with offload backends"), "{out}");
        assert!(out.contains("/it.toml: ok (3 ingresses, 1 egress, 1 kernel, 1 warning)\n"));
        assert_eq!(code, 0);
    }

    #[test]
    fn what_batches_run_on_is_said() {
        let text = config::embedded().replace("simd = \"auto\"", "simd = \"scalar\"");
        // A machine with one core has none to spare, and that is a fault.
        let (out, code) = said(&format!("{text}\n[level]\nhelpers = 1\n"), false);
        let with_one = out.ends_with("/it.toml: runs on cores (scalar), 1 helper\n");
        assert!(code == 78 || with_one, "{out}");
        let gpu = format!("{text}\n[gpu]\nenabled = true\n");
        let (out, code) = said(&gpu, false);
        if cfg!(feature = "gpu") {
            let runs_on = "/it.toml: runs on cores (scalar), a GPU if there is one at start\n";
            assert!(code == 0 && out.ends_with(runs_on), "{out}");
        } else {
            assert!(code == 78 && out.contains("was built without GPUs"), "{out}");
        }
        let (out, _) = said(&text, true);
        let object: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(object["backends"], serde_json::json!(["cores (scalar)"]));
    }

    #[test]
    fn a_bad_file_names_every_fault_and_ends_in_78() {
        let (out, code) = said("[workers]\nidel = \"spin\"\n", false);
        assert!(out.contains("/it.toml:2:1: unknown key `idel` in [workers]\n"), "{out}");
        assert!(out.contains("did you mean `idle`?"), "{out}");
        assert!(out.ends_with("/it.toml: 2 faults\n"), "{out}");
        assert_eq!(code, 78);
    }

    #[test]
    fn json_is_one_object() {
        let (out, code) = said("[workers]\nidel = \"spin\"\n", true);
        let object: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(object["ok"], false);
        assert_eq!(object["faults"][1]["line"], 2);
        assert_eq!(object["faults"][1]["column"], 1);
        assert_eq!(object["faults"][1]["key"], "workers.idel");
        assert_eq!(object["faults"][1]["nearest"], "idle");
        assert_eq!(code, 78);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_wrong_config_with_the_reason() {
        let args = CheckArgs { file: PathBuf::from("/nonexistent/x.toml"), json: false };
        let mut out = Vec::new();
        let code = check(&args, false, &mut out);
        let out = String::from_utf8(out).expect("text");
        assert!(out.starts_with("/nonexistent/x.toml: cannot be read: No such file"), "{out}");
        assert_eq!(code, 78);
    }
}
