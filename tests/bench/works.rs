//! Kernels and configs in `punctual bench`: what is refused, what is measured, and what can be compared.

use serde_json::Value;

use super::{changed, kept, punctual, text};

/// Less than a sweep takes.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// What `serve` would refuse, and what it would take and a benchmark cannot judge: nothing is started.
#[test]
fn a_config_that_cannot_be_measured_is_refused_with_the_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let ingress = "[[ingress]]\nname = \"in\"\nlisten = \"127.0.0.1:0\"\n";
    for (config, parts) in [
        ("[workers]\ncores = [0]\n".to_owned(), ["it.toml", "ingress"]),
        (format!("{ingress}kernle = \"echo\"\n"), ["it.toml:4:1", "kernel"]),
        (
            format!(
                "{ingress}egress = \"on\"\n[[egress]]\nname = \"on\"\nmode = \"send\"\nto = \"127.0.0.1:9\"\n"
            ),
            ["ingress \"in\"", "judges answers"],
        ),
        (format!("{ingress}classify = \"workload\"\n"), ["ingress \"in\"", "workload"]),
        (
            ingress.replace("127.0.0.1", "192.0.2.1"),
            ["listens on 192.0.2.1", "127.0.0.1 or 0.0.0.0"],
        ),
    ] {
        let path = dir.path().join("it.toml");
        std::fs::write(&path, &config).expect("it is written");
        let out = punctual(&format!("bench --config {}", path.display())).assert().code(78);
        let said = text(&out.get_output().stderr);
        assert!(parts.iter().all(|p| said.contains(p)), "{parts:?} are missing in {said}");
        assert!(out.get_output().stdout.is_empty());
    }
    punctual("bench --config no-such-file.toml").assert().code(78);
}

/// A result of another kernel is no baseline, and one of before kernels could be chosen is.
#[test]
fn an_older_result_is_compared_with_one_of_the_same_work_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = kept("bench.json").display().to_string();
    let work = |class: &str, kind: &str| {
        serde_json::json!({"class": class, "kernel": "work", "kind": kind, "runs_as": "scalar", "payload": 64,
            "fingerprint": kind})
    };
    let newer = |name: &str, kind: &str, service: Value| {
        changed(dir.path(), name, |json| {
            json["version"] = 3.into();
            json["lab"]["service_ns"] = service;
            json["lab"]["work"] =
                ["high", "medium", "low"].map(|c| work(c, kind)).into_iter().collect();
        })
    };
    let spin = newer("spin.json", "spin", 20_000.into());
    punctual(&format!("compare {old} {spin} --fail-on-regression")).assert().success();
    punctual(&format!("compare {spin} {old} --fail-on-regression")).assert().success();
    let fir = newer("fir.json", "fir", Value::Null);
    let out = punctual(&format!("compare {old} {fir}")).assert().code(2);
    let said = text(&out.get_output().stderr);
    assert!(
        said.contains("20us of busy work") && said.contains("fir scalar on 64 bytes"),
        "{said}"
    );
    let other = |name: &str, key: &str, value: Value| {
        changed(dir.path(), name, |json| {
            json["version"] = 3.into();
            json["lab"][key] = value;
        })
    };
    let ms = |budgets: [u64; 3]| budgets.map(|b| b * 1_000_000).into_iter().collect::<Value>();
    let (bursts, poisson) = (
        other("bursts.json", "arrivals", "mmpp:10,10us,90us".into()),
        other("poisson.json", "arrivals", "poisson".into()),
    );
    let (tight, usual) = (
        other("tight.json", "budgets_ns", ms([1, 2, 3])),
        other("usual.json", "budgets_ns", ms([1, 10, 100])),
    );
    for (a, b, parts) in [
        (&old, &bursts, ["poisson in one", "mmpp:10,10us,90us in the other"]),
        (&tight, &usual, ["1ms, 2ms, 3ms", "1ms, 10ms, 100ms"]),
    ] {
        let out = punctual(&format!("compare {a} {b}")).assert().code(2);
        let said = text(&out.get_output().stderr);
        assert!(parts.iter().all(|p| said.contains(p)), "{parts:?} are missing in {said}");
    }
    // What an older file does not say is what was always so, or not known.
    for (a, b) in [(&old, &poisson), (&old, &tight)] {
        punctual(&format!("compare {a} {b} --fail-on-regression")).assert().success();
    }
    // Before anything is measured, which would take minutes.
    let line = format!("bench --kernel fir --baseline {old}");
    let out = punctual(&line).timeout(SOON).assert().code(2);
    assert!(text(&out.get_output().stderr).contains("cannot be compared with the baseline"));
    let file =
        |version: u32| changed(dir.path(), "newest.json", |json| json["version"] = version.into());
    let out = punctual(&format!("compare {old} {}", file(4))).assert().code(2);
    assert!(text(&out.get_output().stderr).contains("reads versions 2 to 3"));
}

/// Every kernel through the service and the bare loop, its answers paired: no figure is judged but that there are some.
#[test]
fn every_kernel_is_measured_and_who_ran_it_is_said() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        eprintln!("SKIPPED bench: 1 test not run, two cores are needed");
        return;
    }
    for kernel in ["crc32c", "echo", "fir", "match", "mlp", "rs"] {
        let line = format!(
            "bench --kernel {kernel} --saturation 4k --loads 0.5 --policies edf --duration 200ms --rounds 1 --repeats 0 \
             --quick --json"
        );
        let out = punctual(&line).assert().success();
        let json: Value = serde_json::from_slice(&out.get_output().stdout).expect("one object");
        assert_eq!(json["version"], 3);
        assert_eq!(json["lab"]["work"][0]["kind"], kernel, "{json}");
        assert!(json["capacity"][0]["bare"].as_f64().is_some_and(|rate| rate > 0.0));
        let run = &json["runs"][1];
        assert_eq!(run["subject"], "edf");
        let count = |class: &Value, key: &str| class[key].as_u64().expect("a count");
        let classes = run["classes"].as_array().expect("classes");
        let answered: u64 = classes.iter().map(|c| count(c, "answered")).sum();
        let ran = &run["backends"]["ran"][0];
        assert_eq!(ran["backend"], "cpu");
        assert!(answered > 0 && count(ran, "rows") >= answered, "{kernel}: {answered} {ran}");
        assert!(count(ran, "batches") > 0 && run["backends"]["gpu"].is_null());
    }
}

/// Classes, kernels and ports of a file: two kernels in one class each, and one of all classes by the header.
#[test]
fn the_classes_of_a_config_are_measured() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        eprintln!("SKIPPED bench: 1 test not run, two cores are needed");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let ingress = |name: &str, more: &str| {
        format!("[[ingress]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n{more}\n")
    };
    let config = [
        ingress("slow", "priority = \"low\"\nkernel = \"sum\""),
        ingress(
            "any",
            "framing = \"framed\"\nclassify = \"header\"\nhighest = \"medium\"\nkernel = \"work\"",
        ),
        "[kernel.sum]\nkind = \"crc32c\"\n[kernel.work]\nkind = \"spin\"\ntime = \"5us\"\n"
            .to_owned(),
    ];
    let path = dir.path().join("two.toml");
    std::fs::write(&path, config.concat()).expect("it is written");
    let shape = "--saturation 3k --loads 0.5 --policies edf --duration 300ms --rounds 1 --repeats 0 --quick";
    let kept = dir.path().join("two.json").display().to_string();
    let line =
        format!("bench --config {} {shape} --mix 3,1,1 --save-baseline {kept}", path.display());
    let out = punctual(&line).assert().success();
    let said = text(&out.get_output().stdout);
    let first = "any medium:slow:any low = 3:1:1 by packets, spin, crc32c";
    assert!(said.contains(first) && said.contains("cpu: spin, crc32c"), "{said}");
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(&kept).expect("kept")).expect("JSON");
    let run = &json["runs"][1];
    for (i, (class, budget)) in
        [("any medium", 10_000.0), ("slow", 100_000.0), ("any low", 100_000.0)].iter().enumerate()
    {
        let measured = &run["classes"][i];
        assert_eq!(
            (&measured["class"], &measured["budget_us"]),
            (&(*class).into(), &(*budget).into())
        );
        assert!(measured["answered"].as_u64().is_some_and(|n| n > 0), "{measured}");
    }
}
