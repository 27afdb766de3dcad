"""Names, codes and numbers of segments, as they come from everywhere."""

import pytest
from metakd.regions import Region

from MetaKDSegmentationLib.segment_roles import Role, Segment, derivable, read_roles

NAMES = {
    Role.NCR: "NCR|Necrotic core|necrotic tumor core|Necrosis|non-enhancing|Non-Enhancing Tumour|"
    "nonenhancing tumor|NCR/NET|NETC|Non-enhancing tumor core|NET|Cystic component",
    Role.ED: "ED|edema|Oedema|Peritumoral Edema|peritumoural oedema|SNFH|"
    "Surrounding non-enhancing FLAIR hyperintensity",
    Role.ET: "ET|Enhancing tumour|enhancing tumor|GD-enhancing|Gd enhancing tumour|"
    "EnhancingTumor|contrast-enhancing lesion|Active tumor|ET_1",
    Role.TC: "TC|Tumour core|tumor core|TumorCore|core|Tumour core (TC)",
    Role.WT: "WT|Whole tumour|whole_tumor|WholeTumor|Complete tumor|tumour and oedema|"
    "Tumor + edema|tumor|Glioma|Lesion|GTV",
}


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for role, names in NAMES.items() for name in names.split("|")]
)
def test_names(name, role):
    reading = read_roles([Segment("Segment_1", name)])
    assert reading.roles == {"Segment_1": role}
    assert reading.remark == ""


@pytest.mark.parametrize("name", ["Resection cavity", "RC", "brain", "Brain mask", "Ventricles"])
def test_what_is_no_tumour_is_left_out_without_a_word(name):
    reading = read_roles([Segment("a", name), Segment("b", "WT")])
    assert reading.roles == {"b": Role.WT}
    assert reading.remark == ""


def test_a_tumour_beside_oedema_is_its_core():
    reading = read_roles([Segment("a", "Tumor"), Segment("b", "Edema")])
    assert reading.roles == {"a": Role.TC, "b": Role.ED}
    assert reading.regions == (Region.TC, Region.WT)


def test_codes_speak_where_names_do_not():
    reading = read_roles(
        [
            Segment("a", "Segment_1", code="6574001"),
            Segment("b", "Segment_2", code="79654002"),
            Segment("c", "Segment_3", code="86049000"),
        ]
    )
    # "Neoplasm, Primary" beside oedema and necrosis: the core, of which the necrosis is part.
    assert reading.roles == {"a": Role.NCR, "b": Role.ED, "c": Role.TC}


def test_own_segments_are_known_whatever_they_were_renamed_to():
    segments = [Segment(role.segment_id, "my " + "x" * n) for n, role in enumerate(Role)]
    assert list(read_roles(segments).roles.values()) == list(Role)


@pytest.mark.parametrize(
    ("values", "roles", "said"),
    [
        ((1, 2, 4), "NCR ED ET", "1 NCR, 2 ED, 4 ET"),
        ((1, 2, 3), "NCR ED ET", "1 NCR, 2 ED, 3 ET"),
        ((1, 2, 3, 4), "NCR ED ET", "1 NCR, 2 ED, 3 ET"),
        ((2, 4), "ED ET", "2 ED, 4 ET"),
    ],
)
@pytest.mark.parametrize("prefix", ["Label_", "Segment_", ""])
def test_label_values_speak_where_nothing_else_does(prefix, values, roles, said):
    reading = read_roles([Segment(f"s{v}", f"{prefix}{v}", value=v) for v in values])
    assert [role.value for role in reading.roles.values()] == roles.split()
    assert reading.regions == tuple(Region)
    assert said in reading.remark


def test_names_that_slicer_gives_to_an_imported_label_map():
    names = {1: "tissue", 2: "bone", 4: "connective_tissue"}
    reading = read_roles([Segment(f"s{v}", name, value=v) for v, name in names.items()])
    assert list(reading.roles.values()) == [Role.NCR, Role.ED, Role.ET]


@pytest.mark.parametrize("values", [(1,), (1, 5), (1, 1)])
def test_numbers_that_say_nothing(values):
    segments = [Segment(f"s{n}", f"Segment_{n}", value=v) for n, v in enumerate(values)]
    reading = read_roles(segments)
    assert reading.regions == ()
    assert "'Segment_0'" in reading.remark
    assert "not understood" in reading.remark


def test_what_is_not_understood_is_named_in_one_line():
    reading = read_roles([Segment("a", "WT"), Segment("b", "foo"), Segment("c", "Segment_3")])
    assert reading.roles == {"a": Role.WT}
    assert reading.remark == "'foo', 'Segment_3' not understood: name NCR, ED, ET, TC or WT"


@pytest.mark.parametrize(
    ("roles", "regions"),
    [
        ("NCR ED ET", "ET TC WT"),
        ("ED ET", "ET TC WT"),
        ("NCR ED", "ET TC WT"),
        ("NCR ET", "ET TC"),
        ("ET TC WT", "ET TC WT"),
        ("TC ED", "TC WT"),
        ("ET WT", "ET WT"),
        ("ET", "ET"),
        ("NCR", ""),
        ("ED", ""),
        ("WT", "WT"),
        ("TC", "TC"),
        ("", ""),
    ],
)
def test_regions_that_a_set_of_roles_tells(roles, regions):
    told = derivable([Role(role) for role in roles.split()])
    assert [region.value for region in told] == regions.split()


def test_a_missing_segment_of_enhancing_tumour_is_said():
    assert "taken as none" in read_roles([Segment("a", "NCR"), Segment("b", "ED")]).remark


def test_no_segments():
    assert read_roles([]).regions == ()
