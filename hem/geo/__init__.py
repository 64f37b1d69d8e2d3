"""Build time alone: Natural Earth's countries into the atlas that `hem.location` reads. Not shipped in the wheel."""
