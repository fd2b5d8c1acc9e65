"""Write what is made from the tables of this package: `make dashboards` runs it, and a test holds the files to the tables."""

from dev.monitoring.files import draw_files, find_stale

if __name__ == "__main__":
    for path in find_stale():
        path.unlink()
    for path, text in draw_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
