"""Readers: each kind of file as people write it, against values that are known by themselves."""

import bz2
import gzip
import lzma
import sys

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from autoencoders.data.readers import ReadOptions, open_matrix, refuse_text
from autoencoders.errors import InputError

X = np.arange(12.0).reshape(4, 3) + 0.5
ROWS = [[1.5, 2, 3], [4, 5, 6], [7, 8, 9]]
TEXT = "a,b,c\n1.5,2,3\n4,5,6\n7,8,9\n"


def read(path, layer=None, labels=None, **options):
    """A matrix with all its values, (N, D)."""
    with open_matrix(path, layer, labels, ReadOptions(**options)) as matrix:
        blocks = [b if isinstance(b, np.ndarray) else b.toarray() for _, b in matrix.blocks()]
        refuse_text(matrix, path, [labels, *options.get("annotations", ())])
        return matrix, np.concatenate(blocks)


def write(folder, content, name="a.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def refused(line, path, *arguments, **options):
    with pytest.raises(InputError, match=line) as error:
        read(path, *arguments, **options)
    assert "\n" not in str(error.value)


# Text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "remarks"),
    [
        ("A.CSV", TEXT, []),
        ("a.tsv", TEXT.replace(",", "\t"), []),
        ("a.tsv", TEXT, ["commas separate"]),
        ("a.txt", TEXT.replace(",", "  "), ["spaces separate"]),
        ("a.dat", TEXT.replace(",", " \t"), ["tabs separate"]),
        ("a.csv", TEXT.replace(",", "|"), ["bars separate"]),
        ("a.csv", TEXT.replace(",", ";"), ["semicolons separate"]),
        ("a.csv", TEXT.replace(",", ";").replace(".", ","), ["semicolons", "decimal comma"]),
        ("a.txt", TEXT.replace(",", "\t").replace(".", ","), ["tabs", "decimal comma"]),
        ("a.csv", "sep=;\n" + TEXT.replace(",", ";"), []),
        ("a.csv", TEXT.replace("\n", ",\n"), []),
        ("a.csv", TEXT.replace("\n", "\r\n"), []),
        ("a.csv", TEXT.replace("\n", "\r"), []),
        ("a.csv", "\n" + TEXT.replace("\n", "\n\n"), []),
        ("a.csv", "# said\n" + TEXT, []),
        ("a.txt", "# a b c\n1.5 2 3\n4 5 6\n7 8 9\n", ["spaces", "line of names begins with #"]),
    ],
)
def test_a_text_file_is_read_however_it_is_laid_out(name, content, remarks, tmp_path):
    matrix, values = read(write(tmp_path, content, name))
    np.testing.assert_array_equal(values, ROWS)
    assert matrix.columns == ["a", "b", "c"]
    assert not matrix.named
    assert len(matrix.remarks) == len(remarks)
    assert all(begin in said for begin, said in zip(remarks, matrix.remarks, strict=True))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, lambda text: text])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.CSV.XZ", "a.csv.bz2"])
def test_compression_is_known_by_the_content(pack, name, tmp_path):
    np.testing.assert_array_equal(read(write(tmp_path, pack(TEXT.encode()), name))[1], ROWS)


def test_zstandard(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    packed = pyarrow.compress(TEXT.encode() * 99, codec="zstd", asbytes=True)
    path = write(tmp_path, packed, "a.csv.zst")
    refused("line 5, column a: 'a' is not a number, one of 98 such cells", path)
    refused("cannot be read as", write(tmp_path, packed[:30], "a.csv.zst"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(r"pip install -e '\.\[tables\]'", path)


@pytest.mark.parametrize(
    ("encoding", "options", "remark"),
    [
        ("utf-8-sig", {}, None),
        ("utf-8-sig", {"encoding": "UTF-8"}, None),
        ("utf-16", {}, None),
        ("utf-16-le", {"encoding": "utf-16-le"}, None),
        ("cp1252", {}, "not UTF-8, read as cp1252 (dataset.encoding=)"),
        ("cp1252", {"encoding": "cp1252"}, None),
    ],
)
def test_an_encoding_is_found_or_given(encoding, options, remark, tmp_path):
    content = "a,b\n" + "1,2\n" * 9000 + "3,4\n"
    path = write(tmp_path, content.replace("b", "Länge"), encoding=encoding)
    matrix, values = read(path, **options)
    assert matrix.columns == ["a", "Länge"]
    assert values.tolist() == [[1, 2]] * 9000 + [[3, 4]]
    assert matrix.remarks == ([remark] if remark else [])


def test_what_is_no_text(tmp_path):
    refused("encoding=utf-16-le reads", write(tmp_path, TEXT, encoding="utf-16-le"))
    refused("encoding=foo: no such encoding", write(tmp_path, TEXT), encoding="foo")
    refused("xlsx, not text", write(tmp_path, b"PK\x03\x04..."))
    refused("ended before", write(tmp_path, gzip.compress(TEXT.encode() * 99)[:50]))


@pytest.mark.parametrize(
    ("content", "columns", "first"),
    [
        ("0.1,0.2\n1.1,1.2\n2.1,2.3\n", "01", [0.1, 0.2]),  # rises, but over rows that rise too
        ("5,1.5,u,7\n4,2.5,v,8\n", "013", [5, 1.5, 7]),
        ("1,5;2,5\n3,5;4,5\n", "01", [1.5, 2.5]),
        ("1,2,3,4,5\n2,3,4,5,6\n", "01234", [1, 2, 3, 4, 5]),
        ("400,401,402,403,404\n1,3,2,5,4\n", ["400", "401", "402", "403", "404"], [1, 3, 2, 5, 4]),
        ("9,7,5,3,1\n1,3,2,5,4\n", ["9", "7", "5", "3", "1"], [1, 3, 2, 5, 4]),
        ("0,1,2\n.5,3,1\n", "012", [0.5, 3, 1]),
        (",7,3\nx,1,2\ny,3,4\n", ["7", "3"], [1, 2]),  # under the corner are names of rows
        ("150,4,setosa\n1,2,3\n4,5,6\n", ["150", "4", "setosa"], [1, 2, 3]),
    ],
)
def test_whether_the_first_line_is_a_header(content, columns, first, tmp_path):
    path = write(tmp_path, content)
    with open_matrix(path, None, None) as matrix:
        assert list(matrix.columns) == list(columns)
        np.testing.assert_allclose(matrix.values[0], first, rtol=1e-6)
        assert any("dataset.header=" in remark for remark in matrix.remarks)


def test_a_header_is_given(tmp_path):
    path = write(tmp_path, "0.1,0.2\n1.1,1.2\n2.1,2.3\n")
    assert read(path, header=True)[0].columns == ["0.1", "0.2"]
    path = write(tmp_path, "400,401,402,403,404\n1,3,2,5,4\n")
    matrix, values = read(path, header=False)
    assert values.tolist() == [[400, 401, 402, 403, 404], [1, 3, 2, 5, 4]]
    assert matrix.remarks == []
    path = write(tmp_path, "2,good,bad\n1,2,3,4,5\n5,1,7,8,9\n")
    refused("line 1 has 3 cells, those after it 5; .*dataset.skip_lines=1 leaves out", path)
    refused("line 2 has 1 cells, those after it 3", write(tmp_path, "# x\nu\n1,2,3\n5,1,7\n"))
    path = write(tmp_path, "2,3,good,bad,u\n1,3,2,4,5\n5,1,7,8,9\n")
    assert read(path, skip_lines=1)[1].tolist() == [[1, 3, 2, 4, 5], [5, 1, 7, 8, 9]]


@pytest.mark.parametrize(
    ("content", "options", "rows", "named"),
    [
        (",a,b\nNA,1,2\n07,3,4\n", {}, ["NA", "07"], True),  # as they are
        (",a,b\n0,1,2\n1,3,4\n", {}, ["0", "1"], False),  # pandas' count is no name
        (",a,b\n1,1,2\n0,3,4\n", {}, ["1", "0"], True),
        ("cell,a,b\nx,1,2\ny,3,4\n", {}, ["x", "y"], True),
        ("a,b\nx,1,2\ny,3,4\n", {}, ["x", "y"], True),  # as R writes
        ("a,cell,b\n1,NA,2\n3,y,4\n", {"row_names": "cell"}, ["NA", "y"], True),
        ("a,b\n1,2\n3,4\n", {}, ["0", "1"], False),
    ],
)
def test_the_names_of_rows(content, options, rows, named, tmp_path):
    matrix, values = read(write(tmp_path, content), **options)
    assert (matrix.rows, matrix.named) == (rows, named)
    assert values.tolist() == [[1, 2], [3, 4]]
    assert matrix.columns == ["a", "b"]
    said = "column cell names the rows (dataset.row_names=)"
    assert (said in matrix.remarks) == content.startswith("cell")
    fewer = "the header has a cell less, so that the first column names the rows"
    assert (fewer in matrix.remarks) == content.startswith("a,b\nx")


def test_names_that_occur_again(tmp_path):
    matrix, values = read(write(tmp_path, ",a,a,a.1\nx,1,2,3\nx,4,5,6\n"))
    assert matrix.columns == ["a", "a.2", "a.1"]
    assert values.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert matrix.remarks[1:] == ["rows have the same name: x"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("1,2,3\n4,5\n6,7,8\n", "line 3 has 2 cells, but there are 3 columns"),
        ("1,2,3\n\n4,5,6,7\n", "line 4 has 4 cells"),
        ('1,2,3\n"4",5,6\n7,8,9,1,2\n', "line 4 has 5 cells"),
        ("1,2,3\n" * 3 + "1,2,3,4\n", "line 5 has 4 cells"),  # at the start of a piece
        ("1,2,3\n4,x5,6\n7,8,9\n1,2,3\n", "line 3, column b: 'x5' is not a number; mend it, or"),
        ("1,2,3\n" * 3 + '"4",word,6\n', "line 5, column b: 'word' is not a number"),
        ("1,2,3\n4,1e39,6\n7,8,9\n", "line 3, column b: 1e.39 is beyond float32"),
        ('1,2,3\n4,"5\n7,8,9\n', "line 4 has 2 cells"),
        ("", "holds no rows"),
    ],
)
def test_faulty_lines_are_named(lines, fault, tmp_path, monkeypatch):
    monkeypatch.setattr("autoencoders.data.readers.text.rows_at_once", lambda columns: 3)
    refused(fault, write(tmp_path, "a,b,c\n" + lines))


def test_text_columns_are_named_together(tmp_path):
    path = write(tmp_path, "a,kind,day (x),b\n1,u,2024-01-01,2\n2,v,2024-01-01,3\n3,u,,4\n")
    line = r"2 columns hold no numbers: kind \(u, v\), day \(x\) \(2024-01-01\); \"dataset.drop="
    refused(line + r"\['kind','day \(x\)'\]\" leaves", path)
    refused(r"a column holds no numbers: day \(x\)", path, None, "kind")
    with open_matrix(path, None, "kind") as matrix:
        refuse_text(matrix, path, ["day (x)"])
        assert matrix.labels == ["u", "v", "u"]
        assert matrix.text_columns == ["day (x)"]
        assert matrix.frame["day (x)"].isna().tolist() == [False, False, True]


def test_a_fault_does_no_harm_where_its_column_is_spared(tmp_path):
    path = write(tmp_path, "a,b\n1,2\nx,3\n4,5\n5,6\n")
    with open_matrix(path, None, None) as matrix:
        refuse_text(matrix, path, ["a"])
        assert np.isnan(matrix.values[1, 0])
        assert matrix.values[:, 1].tolist() == [2, 3, 5, 6]


def test_missing_cells_booleans_and_large_numbers(tmp_path):
    content = "a,b,c\n1,True,16777217\n,False,2\n?,True,3\n-,,4\nNA,True,.\nn/a,True,5\n"
    matrix, values = read(write(tmp_path, content))
    assert np.isnan(values).tolist() == [
        *([False] * 3, [True, False, False], [True, False, False]),
        *([True, True, False], [True, False, True], [True, False, False]),
    ]
    assert values[:3, 1].tolist() == [1, 0, 1]
    assert matrix.remarks == ["whole numbers rounded to float32: c"]


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["02", "01", "", "02"], ["02", "01", "", "02"]),
        (["2.0000e+00", "1.0000e+00", "", "10"], ["2", "1", "", "10"]),
        (["u", "nan", "+", "-"], ["u", "", "+", "-"]),
    ],
)
def test_classes_are_text(cells, classes, tmp_path):
    content = "".join(f"{cell},{row}.5\n" for row, cell in enumerate(cells))
    matrix, _ = read(write(tmp_path, "y,b\n" + content), None, "y")
    assert matrix.labels == classes
    assert matrix.columns == ["b"]


def test_annotations_are_no_features_and_stay_text(tmp_path):
    path = write(tmp_path, "donor,b\n07,1.5\n08,2\n")
    matrix, values = read(path, annotations={"donor": "dataset.group_column"})
    assert matrix.frame["donor"].tolist() == ["07", "08"]
    assert values.tolist() == [[1.5], [2]]
    refused(
        "dataset.group_column=age: not in .*; allowed: donor, b",
        path,
        annotations={"age": "dataset.group_column"},
    )


def test_hints(tmp_path):
    matrix, _ = read(write(tmp_path, "id,y\n1,5\n2,7\n3,5\n"))
    labels, counts = matrix.remarks
    assert labels == "labels: y is there, dataset.labels=y takes it"
    assert "dataset.row_names=id" in counts
    assert "dataset.drop=[id]" in counts


def test_genes_in_rows(tmp_path):
    path = write(tmp_path, "gene\tabout\tc1\tc2\nA\tx\t1\t2\nB\ty\t3\t4\nC\tx\t5\t6\n", "a.tsv")
    matrix, values = read(path, transpose=True)
    assert values.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert (matrix.rows, matrix.columns) == (["c1", "c2"], ["A", "B", "C"])
    assert "left out, as it describes features: about" in matrix.remarks


def test_options_for_other_files_are_refused(tmp_path):
    refused("layer=X: .* has no layers", write(tmp_path, TEXT), "X")
    np.save(tmp_path / "a.npy", X)
    refused("separator=;: is for text files", tmp_path / "a.npy", separator=";")
    refused("header=False: is for text files", tmp_path / "a.npy", header=False)


def test_files_that_are_not_there(tmp_path, monkeypatch):
    refused("No such file", tmp_path / "a.csv")
    refused("a folder without a matrix.mtx; allowed", tmp_path)
    refused("not a kind of file that is read; allowed", write(tmp_path, TEXT, "a.npy.gz"))
    for name in ("a.csv", "a.npz", "a.h5ad", "a.parquet"):
        refused("the file is empty", write(tmp_path, "", name))

    def forbid(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(args[0]))

    path = write(tmp_path, TEXT)
    monkeypatch.setattr("pathlib.Path.open", forbid)
    refused("Permission denied", path)


# Columnar -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow"])
def test_columnar_files(kind, tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    monkeypatch.setattr("autoencoders.data.readers.columnar.rows_at_once", lambda columns: 2)
    frame = pd.DataFrame(
        {
            "n": pd.array([5, None, 7], dtype="Int64"),
            "t": [True, False, True],
            "day": pd.to_datetime(["2024-01-01"] * 3),
            "kind": pd.Categorical(["u", "v", "u"]),
        }
    )
    path = tmp_path / f"a.{kind}"
    if kind == "arrow":
        table = pyarrow.Table.from_pandas(frame)
        with pyarrow.ipc.new_stream(str(path), table.schema) as stream:
            stream.write_table(table)
    else:
        getattr(frame, f"to_{kind}")(path)
    refused(r"2 columns hold no numbers: day \(.*\), kind \(u, v\)", path)
    matrix, values = read(path, None, "kind", annotations={"day": "dataset.group_column"})
    np.testing.assert_array_equal(values, [[5, 1], [np.nan, 0], [7, 1]])
    assert matrix.labels == ["u", "v", "u"]
    refused(f"cannot be read as .{kind}", write(tmp_path, "hello", f"b.{kind}"))
    monkeypatch.setitem(sys.modules, "pyarrow.ipc", None)
    refused(r"pip install -e '\.\[tables\]'", path)


def test_pandas_index_names_the_rows(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("autoencoders.data.readers.columnar.rows_at_once", lambda columns: 2)
    pd.DataFrame(X, index=list("wxyz"), columns=list("abc")).to_parquet(tmp_path / "a.parquet")
    matrix, values = read(tmp_path / "a.parquet")
    np.testing.assert_array_equal(values, X)
    assert (matrix.rows, matrix.named) == (list("wxyz"), True)
    matrix, values = read(tmp_path / "a.parquet", transpose=True)
    np.testing.assert_array_equal(values, X.T)
    assert matrix.rows == list("abc")


# Annotated ----------------------------------------------------------------------------------------


def annotated(values=X, **more):
    obs = {"kind": pd.Categorical(["a", None, "b", "a"]), "n": [1, 2, 3, 4]}
    return anndata.AnnData(
        values,
        obs=pd.DataFrame(obs, index=list("wxyz")),
        var=pd.DataFrame({"name": ["p", "q", "r"]}, index=["g1", "g2", "g2"]),
        **more,
    )


def test_sources_of_an_h5ad_file(tmp_path):
    path = tmp_path / "a.H5AD"
    adata = annotated(scipy.sparse.csc_matrix(X))
    adata.raw = adata.copy()
    adata = adata[:, :2].copy()
    adata.layers["twice"] = scipy.sparse.csr_matrix(2 * X[:, :2])
    adata.obsm["X_pca"] = X[:, :2] - 9
    adata.write_h5ad(path)
    sources = {None: X[:, :2], "raw": X, "twice": 2 * X[:, :2], "obsm/X_pca": X[:, :2] - 9}
    for layer, expected in sources.items():
        matrix, values = read(path, layer, "kind")
        np.testing.assert_array_equal(values, expected)
        assert matrix.labels == ["a", "", "b", "a"]
    assert matrix.columns == ["X_pca_0", "X_pca_1"]
    by_columns, _ = read(path)  # rows of which cannot be read by themselves
    assert by_columns.values.format == "csr"
    assert scipy.sparse.issparse(by_columns.values)
    assert matrix.frame["kind"].isna().tolist() == [False, True, False, False]
    matrix, values = read(path, "raw", "name", transpose=True)
    np.testing.assert_array_equal(values, X.T)
    assert (matrix.rows, matrix.labels) == (["g1", "g2", "g2"], ["p", "q", "r"])
    assert matrix.remarks == ["rows have the same name: g2"]
    assert read(path, "raw")[0].columns == ["g1", "g2", "g2.1"]


def test_h5ad_without_x(tmp_path):
    adata = anndata.AnnData(obs=pd.DataFrame(index=["u", "v"]), var=pd.DataFrame(index=["g"]))
    adata.write_h5ad(tmp_path / "a.h5ad")
    refused("holds no X, no layers", tmp_path / "a.h5ad")
    adata.layers["counts"] = np.array([[3.0], [4.0]])
    adata.write_h5ad(tmp_path / "a.h5ad")
    refused("holds no X; choose with dataset.layer=: counts", tmp_path / "a.h5ad")
    assert read(tmp_path / "a.h5ad", "counts")[1].tolist() == [[3], [4]]


@pytest.mark.parametrize("place", ["obs", "obs/kind", "X"])
def test_h5ad_of_a_newer_anndata(place, tmp_path):
    annotated(scipy.sparse.csr_matrix(X)).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file[place].attrs["encoding-type"] = "fancy"
    refused(r"newer anndata .*\(encoding-type fancy\): pip install --upg", tmp_path / "a.h5ad")


def test_h5ad_files_that_are_none(tmp_path):
    annotated().write_h5ad(tmp_path / "a.h5ad")
    refused("truncated", write(tmp_path, (tmp_path / "a.h5ad").read_bytes()[:3000], "b.h5ad"))
    (tmp_path / "a.h5ad").rename(tmp_path / "a.h5")
    refused("not 10x Genomics' but holds X, .*anndata's files are called", tmp_path / "a.h5")


@pytest.mark.slow  # loompy takes seconds to import
def test_loom(tmp_path):
    loompy = pytest.importorskip("loompy")
    rows, columns = {"Gene": np.array(list("ABC"))}, {"CellID": np.array(list("wxyz"))}
    columns["kind"] = np.array(["a", "nan", "b", "a"])
    loompy.create(str(tmp_path / "a.loom"), {"": X.T, "spliced": 2 * X.T}, rows, columns)
    matrix, values = read(tmp_path / "a.loom", None, "kind")
    np.testing.assert_array_equal(values, X)
    assert (matrix.rows, matrix.columns) == (list("wxyz"), list("ABC"))
    assert matrix.labels == ["a", "", "b", "a"]
    np.testing.assert_array_equal(read(tmp_path / "a.loom", "spliced")[1], 2 * X)


@pytest.mark.parametrize("genes", ["features.tsv", "genes.tsv"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "GSM1_"])
def test_10x_folders(genes, suffix, prefix, tmp_path):
    def save(name, content):
        content = gzip.compress(content) if suffix else content
        (tmp_path / f"{prefix}{name}{suffix}").write_bytes(content)

    scipy.io.mmwrite(tmp_path / "plain", scipy.sparse.coo_matrix(2 * X.T))
    save("matrix.mtx", (tmp_path / "plain.mtx").read_bytes())
    (tmp_path / "plain.mtx").unlink()
    save("barcodes.tsv", b"AA-1\nNA\nAC-1\nAT-1\n")
    save(genes, b"E0\tg\tGene Expression\nE1\tNA\tGene Expression\nE2\tp\tAntibody Capture\n")
    matrix, values = read(tmp_path)
    np.testing.assert_array_equal(values, 2 * X)
    assert (matrix.rows[:2], matrix.columns) == (["AA-1", "NA"], ["g", "NA", "p"])
    assert matrix.remarks == ["kinds of features: 2 Gene Expression, 1 Antibody Capture"]
    save("barcodes.tsv", b"AA-1\n")
    refused("is 3 x 4, but there are 3 genes and 1 barcodes", tmp_path)
    (tmp_path / f"{prefix}{genes}{suffix}").unlink()
    refused("one .*genes.tsv.* is needed; found: none", tmp_path)


def test_10x_h5(tmp_path):
    counts = scipy.sparse.csc_matrix((2 * X.T).astype(int))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr", "shape"):
            group[name] = getattr(counts, name)
        group["barcodes"] = np.array(list("wxyz"), dtype="S")
        kinds = ["Gene Expression", "Gene Expression", "CRISPR"]
        features = {"id": list("123"), "name": list("aab"), "feature_type": kinds}
        for name, texts in (features | {"genome": ["hg"] * 3}).items():
            group[f"features/{name}"] = np.array(texts, dtype="S")
    matrix, values = read(tmp_path / "a.h5")
    np.testing.assert_array_equal(values, 2 * X)
    assert matrix.columns == ["a", "a.1", "b"]
    assert "1 CRISPR" in matrix.remarks[0]


# Arrays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        X,
        X.astype(np.float16),
        X.astype(">f8"),
        X.astype(np.longdouble),
        np.asfortranarray(X),
        X[:, :, None],
        np.asfortranarray(X)[:, None],
    ],
)
def test_npy_is_mapped_rather_than_read(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    matrix, values = read(tmp_path / "a.NPY")
    np.testing.assert_array_equal(values, X)
    mapped = matrix.values
    while not isinstance(mapped, np.memmap):
        mapped = mapped.base
    np.testing.assert_array_equal(read(tmp_path / "a.NPY", transpose=True)[1], X.T)


def test_npy_with_fields(tmp_path):
    fields = [("n", ">i4"), ("Länge", "f8"), ("kind", "S3")]
    np.save(tmp_path / "a.npy", np.array([(5, 2.5, "u"), (1, 3.5, "v")], dtype=fields))
    matrix, values = read(tmp_path / "a.npy", None, "kind")
    assert values.tolist() == [[5, 2.5], [1, 3.5]]
    assert (matrix.columns, matrix.labels) == (["n", "Länge"], ["u", "v"])
    refused(r"a column holds no numbers: kind \(u, v\)", tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros(3, dtype=[("p", "f4", (2,))]))
    refused("field p holds", tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"a": X + 1j}, "complex128; allowed: real numbers"),
        ({"a": X.astype(object)}, r"a \(4, 3\) Python objects; Python objects can run code"),
        ({"a": X[0], "b": np.array(3)}, r"no matrix but a \(3,\) float64, b \(\) int64; a table"),
        ({"a": X, "b": X[:, :2]}, r"2 matrices \(a \(4, 3\) float64, b .*dataset.layer="),
        ({"a": np.zeros((5, 8, 8))}, r"a \(5, 8, 8\) .* images is read by dataset=folder"),
        ({"a": np.zeros((5, 8, 9, 3))}, "images is read by dataset=folder"),
        ({"a": np.zeros((5, 8, 9), np.uint8)}, "images is read by dataset=folder"),
        ({"a": np.zeros((5, 3, 40))}, r"array.reshape\(len\(array\), -1\)"),
        ({"train_images": np.zeros((5, 8, 8, 3)), "train_labels": np.zeros((5, 1))}, "images is"),
        ({"x_train": X, "x_test": X[:, :2]}, "parts of different width"),
        ({"a": X[:0]}, "holds no rows"),
        ({"a": X[:, :0]}, "holds no columns"),
        ({}, "holds no arrays"),
    ],
)
def test_npz_without_an_obvious_matrix(arrays, line, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    refused(line, tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([[3], [1], [3], [1]]), list("3131")),
        (np.array([[3, 1, 3, 1]]), list("3131")),
        (np.array([3.0, 1, 3, np.nan]), ["3", "1", "3", ""]),
        (np.array(list("abab"), dtype="S"), list("abab")),
    ],
)
def test_npz_with_labels(labels, classes, tmp_path):
    np.savez(tmp_path / "a.npz", X=X, y=labels, objects=np.array([{}, 1, 2, 3]), deep=X[None])
    matrix, values = read(tmp_path / "a.npz", None, "y")
    np.testing.assert_array_equal(values, X)
    assert matrix.labels == classes
    objects, deep = r"objects (4,) Python objects", "deep (1, 4, 3) float64"
    assert matrix.remarks == [f"X is read, but not {objects}, {deep} (dataset.layer=)"]
    assert "dataset.labels=y takes it" in read(tmp_path / "a.npz")[0].remarks[1]
    refused("labels=objects: holds Python objects", tmp_path / "a.npz", None, "objects")


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
def test_every_sparse_form(form, tmp_path):
    square = np.triu(np.arange(9.0).reshape(3, 3))
    scipy.sparse.save_npz(tmp_path / "a.npz", getattr(scipy.sparse, f"{form}_array")(square))
    matrix, values = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(values, square)
    assert scipy.sparse.issparse(matrix.values)
    np.testing.assert_array_equal(read(tmp_path / "a.npz", transpose=True)[1], square.T)


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_X", "{}_y"), ("{}", "y_{}")])
def test_a_split_by_the_names_of_arrays(names, tmp_path):
    x, y = names
    arrays = {
        x.format("train"): X[:, :, None],
        x.format("valid"): X[:1, :, None],
        x.format("test"): -X[:2, :, None],
        **{y.format("train"): [0, 1, 0, 1], y.format("valid"): [0], y.format("test"): [2, 2]},
    }
    np.savez(tmp_path / "a.npz", **arrays)
    matrix, values = read(tmp_path / "a.npz", None, "y")
    np.testing.assert_array_equal(values, np.concatenate([X, X[:1], -X[:2]]))
    assert matrix.splits == ["train"] * 4 + ["val"] + ["test"] * 2
    assert matrix.labels == list("0101022")
    matrix, values = read(tmp_path / "a.npz", x.format("test"), y.format("test"))
    np.testing.assert_array_equal(values, -X[:2])
    assert matrix.labels == ["2", "2"]


def test_damaged_arrays(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", X=X)
    array, archive = ((tmp_path / name).read_bytes() for name in ("a.npy", "a.npz"))
    refused("greater than file size", write(tmp_path, array[:-20], "b.npy"))
    refused("cannot be read as .npy", write(tmp_path, "hello", "b.npy"))
    refused("is called .npz", write(tmp_path, archive, "b.npy"))
    refused("is called .npy", write(tmp_path, array, "b.npz"))
    refused("cannot be read as .npz", write(tmp_path, archive[:-40], "b.npz"))
    broken = bytearray(archive)
    broken[200] ^= 255
    refused("Bad CRC", write(tmp_path, bytes(broken), "b.npz"))


def test_tabs_separate_names_with_spaces(tmp_path):
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3) / 8, [f"row {i}" for i in range(4)])
    frame.columns = [f"column {i}" for i in range(3)]
    frame.to_csv(tmp_path / "t.tsv", sep="\t")
    with open_matrix(tmp_path / "t.tsv", None, None) as matrix:
        assert list(matrix.columns) == ["column 0", "column 1", "column 2"]
        assert list(matrix.rows) == ["row 0", "row 1", "row 2", "row 3"]
        np.testing.assert_array_equal(np.asarray(matrix.values[:]), frame.to_numpy())
