//! What writing to the files of `/proc/PID` asks of the kernel, and whether it may be asked (proc(5)).

use super::process::Subject;
use crate::errno::Errno;
use crate::vfs::Setting;

/// A number as the kernel reads one: with blanks around it, in decimal, octal or hexadecimal.
fn number(text: &[u8]) -> Result<u64, Errno> {
    let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| Errno::EINVAL)?;
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return Err(Errno::EINVAL);
    }
    u64::from_str_radix(digits, radix).map_err(|_| Errno::EINVAL)
}

/// `comm`: only threads of the process itself may.
pub(super) fn name(subject: &Subject<'_>, text: &[u8]) -> Result<Setting, Errno> {
    const LONGEST: usize = 15;
    if subject.caller().map(|process| process.serial) != Some(subject.process.serial) {
        return Err(Errno::EINVAL);
    }
    let text = text.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default();
    Ok(Setting::ThreadName(subject.thread, text[..text.len().min(LONGEST)].to_vec()))
}

/// `oom_score_adj`: from -1000 to 1000, for users not below what the superuser set last.
pub(super) fn oom_adjustment(subject: &Subject<'_>, text: &[u8]) -> Result<Setting, Errno> {
    let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| Errno::EINVAL)?;
    let value: i16 = text.parse().map_err(|_| Errno::EINVAL)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let privileged = subject.caller().is_some_and(|process| process.credentials.euid == 0);
    if !privileged && value < subject.process.oom_adjustment.least {
        return Err(Errno::EACCES);
    }
    Ok(Setting::OomAdjustment { process: subject.number, value, privileged })
}

/// `timerslack_ns`
pub(super) fn timer_slack(subject: &Subject<'_>, text: &[u8]) -> Result<Setting, Errno> {
    subject.check_same_user()?;
    let value = number(text)?;
    // Kernels of 32 bits keep it in a long.
    Ok(Setting::TimerSlack(subject.number, u32::try_from(value).map_err(|_| Errno::EINVAL)?))
}

/// `coredump_filter`
pub(super) fn core_filter(subject: &Subject<'_>, text: &[u8]) -> Result<Setting, Errno> {
    /// Anonymous and file memory, private and shared; ELF headers; huge pages; DAX.
    const KNOWN: u32 = 0x1ff;
    let value = u32::try_from(number(text)?).map_err(|_| Errno::EINVAL)?;
    Ok(Setting::CoreFilter(subject.number, value & KNOWN))
}

/// `clear_refs`: which pages were used is not kept.
pub(super) fn references(_: &Subject<'_>, text: &[u8]) -> Result<Setting, Errno> {
    match number(text)? {
        1..=5 => Ok(Setting::Nothing),
        _ => Err(Errno::EINVAL),
    }
}
