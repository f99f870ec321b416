//! Files and folders that only their owner may open.
//!
//! On Unix systems the mode of a file says so, from the moment it is made. Elsewhere a file has the
//! rights of the folder it is made in, and the folder an app is given is its user's.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// How a file is made that is for its owner's eyes.
pub(crate) fn file() -> OpenOptions {
    let mut options = OpenOptions::new();
    system::close_new_file(&mut options);
    options
}

/// How a folder is made that only its owner may enter, parents included.
pub(crate) fn folder() -> DirBuilder {
    let mut folder = DirBuilder::new();
    folder.recursive(true);
    system::close_new_folder(&mut folder);
    folder
}

/// What group and others may do with a file, as the mode `chmod` takes; `None` for nothing.
pub(crate) fn open_to_others(found: &Metadata) -> Option<u32> {
    system::mode(found).filter(|mode| mode & 0o077 != 0)
}

/// Takes from group and others whatever a file of this mode allows them.
pub(crate) fn close(path: &Path, mode: u32) -> io::Result<()> {
    system::set_mode(path, mode & 0o700)
}

/// Waits until what was renamed or removed in a folder survives power loss, where folders can be
/// synchronised.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    system::sync_folder(folder)
}

#[cfg(unix)]
mod system {
    use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, set_permissions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    pub(super) fn close_new_file(options: &mut OpenOptions) {
        options.mode(0o600);
    }

    pub(super) fn close_new_folder(folder: &mut DirBuilder) {
        folder.mode(0o700);
    }

    pub(super) fn mode(found: &Metadata) -> Option<u32> {
        Some(found.permissions().mode() & 0o777)
    }

    pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
        set_permissions(path, Permissions::from_mode(mode))
    }

    pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{DirBuilder, Metadata, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn close_new_file(_: &mut OpenOptions) {}

    pub(super) fn close_new_folder(_: &mut DirBuilder) {}

    pub(super) fn mode(_: &Metadata) -> Option<u32> {
        None
    }

    pub(super) fn set_mode(_: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
