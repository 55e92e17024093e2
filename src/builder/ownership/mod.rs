//! What is ours in a cloud, and by which evidence.

pub mod description;
pub mod identity;
pub mod labels;
pub mod own_images;
