//! tmp
use super::DriverKind;
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Unavailable;
/// x
#[derive(Debug)]
pub struct Choice {
    /// x
    pub kind: DriverKind,
    /// x
    pub reason: String,
}
/// x
pub fn choose(_: Option<DriverKind>) -> Result<Choice, Unavailable> {
    Ok(Choice { kind: DriverKind::Mio, reason: "tmp".into() })
}
