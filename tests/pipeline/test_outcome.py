"""The lines that `make repro` ends with."""

from pipeline.outcome import cell_lines, class_lines

TABLE = {
    "cells": [
        {"cell": "lite0-p", "metrics": {"max_box_acc_v2": 0.5}, "intervals": {"max_box_acc_v2": [0.45, 0.55]}},
        {"cell": "lite0-pn-0.9", "metrics": {"max_box_acc_v2": 0.6}, "intervals": {}},
    ],
    "baseline": {"centred box": {"max_box_acc_v2": 0.308}},
    "missing": {},
}


def test_says_who_leads():
    best = {"cell": "lite0-p", "rule": "highest max_box_acc_v2", "values": {"max_box_acc_v2": 0.5}}
    lines = ["Best cell: lite0-p, MaxBoxAccV2 50.0 % [45.0, 55.0]", "Baselines: centred box 30.8 %"]
    assert cell_lines(best, TABLE) == lines
    best["below"] = [{"metric": "max_box_acc_v2"}, {"metric": "accuracy_top1"}]
    assert cell_lines(best, TABLE) == [*lines, "Careful:   not clearly above 1 of these"]


def test_names_the_cell_that_the_page_takes_where_it_is_another():
    best = {"cell": "lite0-p", "rule": "", "values": {"max_box_acc_v2": 0.5}, "take": {"cell": "lite0-p", "why": ""}}
    assert len(cell_lines(best, TABLE)) == 2
    best["take"] = {"cell": "lite0-pn-0.9", "why": "this one has 50% of its size."}
    assert cell_lines(best, TABLE)[2] == "Take:      lite0-pn-0.9: this one has 50% of its size."


def test_names_what_was_left_out_and_needs_neither_interval_nor_baseline():
    best = {"cell": "lite0-pn-0.9", "rule": "", "values": {"max_box_acc_v2": 0.6}}
    lines = cell_lines(best, TABLE | {"baseline": {}, "missing": {"lite0-pp-0.6": "no results"}})
    assert lines[0] == "Best cell: lite0-pn-0.9, MaxBoxAccV2 60.0 %"
    assert lines[1].startswith("Left out:  lite0-pp-0.6")


def test_a_comparison_without_a_best_cell_says_why():
    best = {"cell": None, "rule": "no cell has pxap", "values": {}, "decided_by": None}
    assert cell_lines(best, TABLE)[0] == "Best cell: none, since no cell has pxap"


def test_each_class_has_a_row(write_cell, project):
    write_cell("lite0-p", found=(True, False))
    assert class_lines(project, "lite0-p") == [
        "class   images  named right  box right",
        "keeper  2       2            1 of 2",
    ]
