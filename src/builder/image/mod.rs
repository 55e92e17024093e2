//! One image, from a base image to one that is proven: in a builder VM or on this machine.

pub mod base_image;
pub mod external;
pub mod format;
pub mod local;
pub mod manifest;
pub mod site;
pub mod user_data;
pub mod verify;
pub mod vm;
