//! What is measured, kept, taken up and refused.

use super::*;

const CONFIG: &str = "[[ingress]]\nname = \"in\"\nlisten = \"127.0.0.1:0\"\nkernel = \"smooth\"\n\
    [kernel.smooth]\nkind = \"fir\"\ntaps = [1, 2, 1]\nshift = 2\n\
    [kernel.work]\nkind = \"spin\"\ntime = \"50us\"\n[kernel.echo]\nkind = \"echo\"\n";

fn loaded(text: &str) -> Loaded {
    config::parse("it.toml", text).expect("a good config")
}

fn args(save: Option<PathBuf>, load: Option<PathBuf>) -> CalibrateArgs {
    CalibrateArgs { config: None, save, load, json: false }
}

#[test]
fn every_kernel_is_measured_on_every_backend_and_busy_work_is_not() {
    let found = measure(&loaded(CONFIG)).expect("measured");
    let levels = Level::every().iter().filter(|(_, level)| level.is_some()).count();
    let of = |kernel: &str| found.iter().filter(|f| f.pair.kernel == kernel).count();
    assert_eq!((of("smooth"), of("echo"), of("work")), (levels, 1, 0));
    for f in &found {
        let t = |rows| f.model.measured_ps(rows);
        assert!(t(1) > 1 && t(1) <= t(8) && t(8) <= t(64), "{} {:?}", f.pair.kernel, f.model);
        assert!(f.error.is_some_and(|e| e.mean <= e.worst.abs()));
    }
    let mut text = Vec::new();
    let settings = loaded(CONFIG).settings;
    print::all(&found, &settings, false, "it", &mut text).expect("memory");
    let text = String::from_utf8(text).expect("text");
    let several = levels > 1;
    assert_eq!(text.contains("smooth: chosen by rows 1: "), several, "{text}");
    assert!(text.contains("echo: has one form here"), "{text}");
    let mut object = Vec::new();
    print::all(&found, &settings, true, "it", &mut object).expect("memory");
    let object: serde_json::Value = serde_json::from_slice(&object).expect("one object");
    assert_eq!(object["pairs"].as_array().map(Vec::len), Some(found.len()));
    assert!(object["pairs"][0]["ns"][3]["ns"].as_f64() > Some(0.0));
}

#[test]
fn kept_times_are_taken_up_and_refused_where_something_is_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("times.json");
    let measured = calibrate(&args(Some(file.clone()), None), &loaded(CONFIG)).expect("kept");
    let load = || args(None, Some(file.clone()));
    let taken = calibrate(&load(), &loaded(CONFIG)).expect("the same machine and kernels");
    let models = |found: &[Found]| found.iter().map(|f| f.model.clone()).collect::<Vec<_>>();
    assert_eq!(models(&taken), models(&measured));
    let refused =
        |config: &str| format!("{:#}", calibrate(&load(), &loaded(config)).expect_err("refused"));
    let other = refused(&CONFIG.replace("[1, 2, 1]", "[1, 3, 1]"));
    assert!(other.contains("measures anew: kernel \"smooth\" has other parameters"), "{other}");
    let renamed = refused(&CONFIG.replace("smooth", "rough"));
    assert!(renamed.contains("kernel \"rough\" was not measured on scalar"), "{renamed}");
    let kept = Saved::parse(&read(&file).expect("it is there")).expect("ours");
    let elsewhere = take_up(&loaded(CONFIG), &kept, "another machine").expect_err("refused");
    assert!(elsewhere.to_string().contains("this machine is \"another machine\""), "{elsewhere}");
}

#[test]
fn a_file_that_holds_no_times_is_said_so_and_never_read_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("times.json");
    let said = |text: &[u8]| {
        std::fs::write(&file, text).expect("written");
        let args = args(None, Some(file.clone()));
        format!("{:#}", calibrate(&args, &loaded(CONFIG)).expect_err("refused"))
    };
    assert!(said(b"{}").contains("not what `punctual calibrate --save` writes"));
    assert!(said(&vec![b' '; (1 << 20) + 1]).contains("is larger than 1048576 bytes"));
    assert!(said(&[0xff, 0xfe]).contains("times.json"));
}
