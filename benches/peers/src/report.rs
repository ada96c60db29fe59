//! Tables of what was measured: for people, for programs, and for docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::echo::{Contest, EchoArgs, names};
use crate::figures::{range, voids};
use crate::overload::{self, OverloadArgs};

/// Lower quartile, median and upper quartile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quartiles([f64; 3]);

impl Quartiles {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = values.collect();
        all.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let place = (all.len().max(1) - 1) as f64 * q;
            all.get(place.round() as usize).copied().unwrap_or(f64::NAN)
        };
        Self([at(0.25), at(0.5), at(0.75)])
    }
}

/// The machine, in words.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, m)| m);
    let cores = cpu.lines().filter(|l| l.starts_with("processor")).count();
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let release: Vec<&str> = release.split(['.', '-']).take(2).collect();
    format!("{model}, {cores} cores, Linux {}", release.join("."))
}

/// What was run, as a reader would type it.
fn command() -> String {
    let mut words = std::env::args().skip(1).peekable();
    let mut kept = vec!["scripts/peers".to_owned()];
    while let Some(word) = words.next() {
        match word.as_str() {
            "--write" | "--punctual" => drop(words.next()),
            _ => kept.push(word),
        }
    }
    kept.join(" ")
}

pub(crate) fn echo(args: &EchoArgs, contests: &[Contest]) -> anyhow::Result<()> {
    let names = names();
    if args.bench().json {
        println!("{}", echo_json(contests, &names));
    }
    let mut text = format!("On {}, `{}`, {} rounds:\n\n", machine(), command(), args.rounds());
    text += "| echo of 64 bytes |";
    for c in contests {
        let _ = write!(text, " {}: ns a packet | ours is faster by |", c.shape.name);
    }
    text += "\n|---|";
    contests.iter().for_each(|_| text += "---|---|");
    for (i, name) in names.iter().enumerate() {
        let _ = write!(text, "\n| {name} |");
        for c in contests {
            let Quartiles([low, cost, high]) = c.cost(i);
            let _ = write!(text, " {cost:.0} ({low:.0} to {high:.0}) |");
            let Quartiles([low, ratio, high]) = c.ours_over(i);
            if i == 0 {
                text += " |";
            } else {
                let _ = write!(text, " {ratio:.2}x ({low:.2} to {high:.2}) |");
            }
        }
    }
    text.push('\n');
    for c in contests {
        for (name, lost) in names.iter().zip(&c.lost).filter(|(_, lost)| **lost > 0) {
            let _ =
                writeln!(text, "\n{name}, {}: {lost} datagrams were not answered.", c.shape.name);
        }
    }
    finish(&text, "peers-echo", args.bench())
}

fn echo_json(contests: &[Contest], names: &[&str]) -> serde_json::Value {
    let contest = |c: &Contest| {
        let each = (0..names.len()).map(|i| {
            json!({"name": names[i], "ns_per_packet": c.cost(i).0, "ours_over_it": c.ours_over(i).0,
                   "lost": c.lost[i], "rounds": c.costs[i]})
        });
        json!({"shape": c.shape.name, "contestants": each.collect::<Vec<_>>()})
    };
    json!({"version": 1, "machine": machine(), "quartiles": [0.25, 0.5, 0.75],
           "contests": contests.iter().map(contest).collect::<Vec<_>>()})
}

/// Prints the table, and keeps it where that is asked for.
pub(crate) fn finish(text: &str, marker: &str, bench: &crate::Bench) -> anyhow::Result<()> {
    if !bench.json {
        println!("{text}");
    }
    bench.write.as_deref().map_or(Ok(()), |file| keep(text, marker, file))
}

/// Puts `text` between the markers of that name.
fn keep(text: &str, marker: &str, file: &Path) -> anyhow::Result<()> {
    let name = file.display();
    let all = std::fs::read_to_string(file).with_context(|| format!("{name}"))?;
    let open = format!("<!-- figures: {marker} -->\n");
    let start = all.find(&open).with_context(|| format!("{name} has no line {}", open.trim()))?;
    let start = start + open.len();
    let len =
        all[start..].find("<!-- end figures -->").with_context(|| format!("{name}: no end"))?;
    let kept = format!("{}{}{}", &all[..start], text, &all[start + len..]);
    std::fs::write(file, kept).with_context(|| format!("{name}"))
}

pub(crate) fn overload(
    args: &OverloadArgs,
    saturation: f64,
    all: &[overload::Contestant],
) -> anyhow::Result<()> {
    if args.bench().json {
        println!("{}", overload_json(args, saturation, all));
    }
    let mut text = format!(
        "On {}, `{}`: {} us of busy work, the quickest does {saturation:.0} packets/s; {} rounds, median (least to most):\n\n",
        machine(),
        command(),
        args.work_us(),
        args.rounds()
    );
    text += "| on time |";
    for load in args.loads() {
        let _ = write!(text, " {load}x: High | Medium | Low | p99 of High |");
    }
    text += "\n|---|";
    args.loads().iter().for_each(|_| text += "---|---|---|---|");
    for one in all {
        let _ = write!(text, "\n| {} |", one.name);
        for (classes, p99) in one.on_time.iter().zip(&one.high_p99) {
            for (shares, class) in classes.iter().zip(overload::CLASSES) {
                if shares.is_empty() {
                    text += " all void |";
                    continue;
                }
                let [least, middle, most] = range(shares).map(|s| s * 100.0);
                let _ = write!(text, " {middle:.1} %");
                if class.0 == "high" {
                    let _ = write!(text, " ({least:.1} to {most:.1})");
                }
                text += " |";
            }
            let [_, middle, _] = range(p99);
            let middle = if p99.is_empty() { "all void".to_owned() } else { time(middle) };
            let _ = write!(text, " {middle} |");
        }
    }
    text.push('\n');
    let late: Vec<f64> =
        all.iter().flat_map(|c| c.generator_late.iter().flatten()).copied().collect();
    let _ = writeln!(text, "\n{}", voids(&late));
    finish(&text, "peers-overload", args.bench())
}

fn time(ns: f64) -> String {
    if ns < 1e6 { format!("{:.0} us", ns / 1e3) } else { format!("{:.1} ms", ns / 1e6) }
}

fn overload_json(
    args: &OverloadArgs,
    saturation: f64,
    all: &[overload::Contestant],
) -> serde_json::Value {
    let one = |c: &overload::Contestant| {
        json!({"name": c.name, "saturation": c.saturation, "on_time": c.on_time, "high_p99_ns": c.high_p99,
               "generator_late": c.generator_late})
    };
    json!({"version": 1, "machine": machine(), "loads": args.loads(), "saturation": saturation,
           "classes": overload::CLASSES.map(|(name, _)| name),
           "contestants": all.iter().map(one).collect::<Vec<_>>()})
}
