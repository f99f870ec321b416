//! What is known of one month.

/// One month.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its number.
    pub month: u32,
    /// What happened beside the usual.
    pub happened: Vec<String>,
    /// Rounds of its task that gave a model, and that gave none.
    pub released: usize,
    /// See `released`.
    pub abandoned: usize,
    /// Devices that took part in the month, and all that have ever enrolled.
    pub here: usize,
    /// See `here`.
    pub enrolled: usize,
    /// Contributions that were paid for, and those of them that reached nobody in time.
    pub paid: usize,
    /// See `paid`.
    pub forfeited: usize,
    /// Most that a device has spent in its life, as a share of its budget.
    pub spent: f64,
    /// Processes killed in the month.
    pub kills: u32,
    /// Memory of coordinator and helper, bytes.
    pub memory: [u64; 2],
    /// Of the task's state, of what outlives it, of the helper, and of the device that has most.
    pub files: [Files; 4],
}

/// Files of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// Their sizes together.
    pub bytes: u64,
}
