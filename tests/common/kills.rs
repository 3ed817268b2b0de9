//! When to kill a process: moments that look random and are the same every time.

/// Kills of a test; `BELLWETHER_KILLS` says another number.
pub fn kills() -> u64 {
    std::env::var("BELLWETHER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// Uniform in [0, 1): the finaliser of SplitMix64.
pub fn number(i: u64) -> f64 {
    let z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
