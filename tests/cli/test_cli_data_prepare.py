from wsolbench.data.fetch.download import NotFetchedError


def test_nothing_to_fetch(cli, tmp_path):
    assert cli("data", "prepare", "critters", "--out", tmp_path / "out").refused("has nothing to prepare")
    assert not (tmp_path / "out").exists()


def test_no_network(cli, tmp_path, monkeypatch):
    def fetch(url, target, **_):
        raise NotFetchedError(
            f"{url} cannot be downloaded (no route to host); run the command again, or save it as {target}"
        )

    monkeypatch.setattr("wsolbench.data.fetch.prepare.fetch", fetch)
    done = cli("data", "prepare", "tiny-imagenet-40", "--out", tmp_path / "tiny")
    told = done.err.splitlines()
    assert done.code == 2
    assert told[0] == "terms: photos of ImageNet: research and education, not commercial"
    assert told[1].startswith(
        "error: http://cs231n.stanford.edu/tiny-imagenet-200.zip cannot be downloaded (no route to host)"
    )
    assert told[2:] == [
        "  download 1 file yourself, then run this command again",
        f"  {tmp_path / 'tiny' / 'tiny-imagenet-200.zip'}: from http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    ]


def test_what_is_there_is_ready(cli, tmp_path):
    lists = tmp_path / "tiny" / "metadata" / "test"
    lists.mkdir(parents=True)
    (lists / "image_ids.txt").write_text("n1/a.JPEG")
    (lists / "class_labels.txt").write_text("n1/a.JPEG,0")
    done = cli("data", "prepare", "tiny-imagenet", "--out", tmp_path / "tiny")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"ready: --dataset tiny-imagenet --data-root {tmp_path / 'tiny'}",
        f"check it: wsolbench data check tiny-imagenet --data-root {tmp_path / 'tiny'}",
    ]
    assert cli("data", "prepare", "tiny-imagnet").refused(
        "unknown data set 'tiny-imagnet'. Did you mean 'tiny-imagenet'"
    )


def test_what_a_user_has_takes_the_place_of_downloads(cli, tmp_path):
    done = cli("data", "prepare", "ilsvrc-photos", "--metadata-root", tmp_path, "--out", tmp_path / "out")
    assert done.refused("--metadata-root goes with --data-root, the images that you have; pass both or neither")
    done = cli("data", "prepare", "ilsvrc", "--data-root", tmp_path, "--out", tmp_path / "out")
    assert done.refused("'ilsvrc' is not copied: name the folder of what you have in every command")
    done = cli("data", "prepare", "ilsvrc-photos", "--data-root", tmp_path / "none", "--out", tmp_path / "out")
    assert done.refused(f"--data-root {tmp_path / 'none'} does not exist")
    assert not (tmp_path / "out").exists()
