//! What the machine calls itself.
//!
//! Knows no figure that is kept under that name.

/// The processor's model as the kernel names it; none where it names none, as on some architectures.
#[must_use]
pub fn cpu_model() -> Option<String> {
    field(&cpu_info()?, "model name")
}

/// The same with its family, model and stepping: a virtual machine may call several generations by one name.
#[must_use]
pub fn cpu_identity() -> Option<String> {
    identity(&cpu_info()?)
}

/// Its identity, or that it has no name: whose times kept figures are.
#[must_use]
pub fn cpu_name() -> String {
    cpu_identity().unwrap_or_else(|| format!("an unnamed {}", std::env::consts::ARCH))
}

fn cpu_info() -> Option<String> {
    std::fs::read_to_string("/proc/cpuinfo").ok()
}

fn identity(info: &str) -> Option<String> {
    let number = |name| field(info, name).unwrap_or_else(|| "?".to_owned());
    let (family, model, stepping) = (number("cpu family"), number("model"), number("stepping"));
    let name = field(info, "model name")?;
    Some(format!("{name}, family {family}, model {model}, stepping {stepping}"))
}

/// The first field of exactly that name.
fn field(info: &str, name: &str) -> Option<String> {
    let fields = info.lines().filter_map(|l| l.split_once(':'));
    let mut of_name = fields.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    of_name.next().filter(|value| !value.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_of_one_name_are_told_apart() {
        let info = |model: u32| {
            format!(
                "processor\t: 0\ncpu family\t: 26\nmodel\t\t: {model}\nmodel name\t: A B\nstepping\t: 1\n\nprocessor\t: 1\nmodel name\t: C\n"
            )
        };
        let said = identity(&info(2)).expect("named");
        assert_eq!(said, "A B, family 26, model 2, stepping 1");
        assert_ne!(identity(&info(17)).expect("named"), said);
        assert_eq!(identity("Features : fp asimd\n"), None);
        assert_eq!(field(&info(2), "model name").as_deref(), Some("A B"));
    }
}
