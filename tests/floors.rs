//! The house holds: a room uses only rooms on lower floors, `unsafe` stays in its rooms, and outside crates in theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Floor by floor, from the ground: what ARCHITECTURE.md draws.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["packet", "kernel", "stats", "sys"],
    &["classify", "sched", "level", "io"],
    &["dataplane", "jobs", "batch"],
    &["runtime", "sim", "load", "telemetry", "http", "report"],
    &["config"],
    &["cli"],
];

/// From this floor on rooms are the program's, behind the feature `service`; below it is what others may embed.
const PROGRAM: usize = 4;

/// Where `unsafe` may stand.
const UNSAFE_ROOMS: &[&str] = &["sys", "io"];

/// Outside crates with one home (or two): named elsewhere, they would pull the operating system or a format into a room
/// that is to know nothing of it.
const HOMES: &[(&str, &[&str])] = &[
    ("io_uring", &["io"]),
    ("mio", &["io"]),
    ("libc", &["sys", "io"]),
    ("core_affinity", &["sys"]),
    ("socket2", &["sys"]),
    ("atomic", &["sched"]),
    ("crossbeam_utils", &["stats", "sched", "dataplane"]),
    ("foldhash", &["dataplane"]),
    ("hdrhistogram", &["load", "sim", "cli"]),
    ("csv", &["config"]),
    ("pcap_parser", &["packet"]),
    ("etherparse", &["packet", "load"]),
    ("rtrb", &["runtime"]),
    ("crc_fast", &["kernel"]),
    ("fearless_simd", &["kernel"]),
    ("aho_corasick", &["kernel"]),
    ("safetensors", &["kernel"]),
    ("wgpu", &["kernel"]),
    ("axum", &["http"]),
    ("tokio", &["http"]),
    ("prometheus_client", &["telemetry"]),
    ("plotters", &["report"]),
    ("minijinja", &["report"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Room, file and text of every source file in a room; comments are cut off.
fn rooms() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let code = |text: &str| {
        text.lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
    };
    files
        .iter()
        .filter_map(|f| {
            let rel = f.strip_prefix(&root).unwrap();
            let room = rel.parent()?.components().next()?.as_os_str().to_str()?.to_owned();
            Some((room, rel.display().to_string(), code(&std::fs::read_to_string(f).unwrap())))
        })
        .collect()
}

fn floor_of() -> BTreeMap<&'static str, usize> {
    FLOORS.iter().enumerate().flat_map(|(n, rooms)| rooms.iter().map(move |r| (*r, n))).collect()
}

/// The rooms that this text refers to by `crate::room`, also within `use crate::{…}`.
fn referred(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + 7..];
        let names: Vec<&str> =
            if let Some(group) = rest.strip_prefix('{') { top_level(group) } else { vec![rest] };
        let word =
            |n: &str| n.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.extend(names.into_iter().map(word));
    }
    found
}

/// The members of a brace group, without what stands in braces inside it.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[start..i]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    members
}

#[test]
fn a_room_uses_only_lower_floors() {
    let floor = floor_of();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (room, file, text) in rooms() {
        let Some(own) = floor.get(room.as_str()) else {
            panic!(
                "{file}: the room {room} is on no floor: put it into ARCHITECTURE.md and into this test"
            );
        };
        for other in referred(&text) {
            let Some(other_floor) = floor.get(other.as_str()) else { continue };
            seen += 1;
            if other != room && other_floor >= own {
                wrong.push(format!("{file} (floor {own}) uses {other} (floor {other_floor})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} references were found: the reader of this test is broken");
}

#[test]
fn unsafe_stays_in_its_rooms() {
    for (room, file, text) in rooms() {
        let has = ["{", "fn ", "impl ", "extern ", "trait "]
            .iter()
            .any(|what| text.contains(&format!("unsafe {what}")));
        assert!(
            !has || UNSAFE_ROOMS.contains(&room.as_str()),
            "{file} has `unsafe` outside {UNSAFE_ROOMS:?}"
        );
    }
}

#[test]
fn outside_crates_stay_in_their_homes() {
    for (room, file, text) in rooms() {
        for (name, homes) in HOMES {
            let named = text.match_indices(&format!("{name}::")).any(|(at, _)| {
                !text[..at]
                    .chars()
                    .next_back()
                    .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            assert!(
                !named || homes.contains(&room.as_str()),
                "{file} uses {name}, whose home is {homes:?}"
            );
        }
    }
}

#[test]
fn the_reader_sees_what_it_must() {
    let text =
        "use crate::{base::{self, Nanos}, sched}; fn f() { crate::io::x(); mycrate::dataplane(); }";
    assert_eq!(referred(text), ["base", "sched", "io"]);
}

#[test]
fn every_room_is_drawn_in_the_architecture() {
    let drawn =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md"))
            .unwrap();
    for (room, ..) in rooms() {
        assert!(drawn.contains(&format!("{room}/")), "ARCHITECTURE.md does not draw {room}/");
    }
}

#[test]
fn the_program_is_a_feature_and_the_data_plane_is_none() {
    let text = std::fs::read_to_string("src/lib.rs").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut seen = 0;
    for (room, floor) in floor_of() {
        let Some(at) = lines.iter().position(|l| *l == format!("pub mod {room};")) else {
            continue;
        };
        let gated = lines[at - 1] == "#[cfg(feature = \"service\")]";
        assert_eq!(gated, floor >= PROGRAM, "{room} on floor {floor}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} rooms were found: the reader of this test is broken");
}
