from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from acol import Recipe
from acol.data.manifest import Image
from acol.localization.choice import PLAIN, Choice
from acol.localization.evaluation import evaluate
from acol.localization.inference import SplitOutputs
from acol.localization.map_scores import LEAST_BOXED, region_curves, score_maps
from acol.localization.maps import FusedMaps, fused_maps
from acol.localization.regions import MAP_SIZE
from acol.metrics import Calibration, Interval

CLASSES = ("a", "b")
PP = Recipe.parse("pp-0.5")


def quadrant(*corners):
    """A 4x4 map that is 1 in the named 2x2 quarters (row, column)."""
    cam = np.zeros((4, 4), np.float32)
    for row, column in corners:
        cam[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 1
    return cam


@pytest.fixture
def outputs():
    """Two images: the first right and found in the upper left, the second wrong and found below."""
    logits = np.array([[[2.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]], np.float32)  # (K, N, C)
    first = np.stack([quadrant((0, 0)), quadrant((1, 0))])
    second = np.stack([quadrant((0, 0)), quadrant((1, 1))])
    cams = np.stack([first, second])
    return SplitOutputs(logits, cams, cams)


def images(boxes, **more):
    return [
        Image("0.png", "a", "test", "0", 100, 200, boxes[0], **more),
        Image("1.png", "b", "test", "1", 100, 200, boxes[1], **more),
    ]


def run(outputs, boxes, tmp_path=Path(), validation=None, choice=PLAIN, others=(), **more):
    return evaluate(
        outputs,
        images(boxes, **more),
        CLASSES,
        PP,
        tmp_path,
        fixed_tau=0.5,
        faithful={},
        validation=validation,
        choice=choice,
        others=others,
        resamples=100,
        seed=0,
    )


def test_localization_by_hand(outputs):
    # Images of 100 x 200: the upper left quarter is the box (0, 0, 50, 100), the lower half (0, 100, 100, 200).
    scores = run(outputs, [((0.0, 0.0, 50.0, 100.0),), ((0.0, 100.0, 100.0, 200.0),)])
    assert scores.metrics["accuracy_top1"] == 0.5
    assert scores.metrics["accuracy_top5"] == 1.0
    assert scores.metrics["gt_known_loc"] == 1.0  # both boxes are found
    assert scores.metrics["top1_loc"] == 0.5  # but the second image's class is wrong
    assert scores.metrics["top5_loc"] == 1.0
    assert scores.metrics["max_box_acc_v2"] == scores.metrics["max_box_acc"] == 1.0
    assert scores.details["tau"] == {"fixed": 0.5, "oracle": pytest.approx(0, abs=0.5), "used": "fixed"}
    rows = scores.images
    assert rows["iou"].min() > 0.9
    assert rows.loc[0, ["x0", "y0", "x1", "y1"]].tolist() == pytest.approx([0, 0, 50, 100], abs=2)
    assert rows.loc[1, ["x0", "y0", "x1", "y1"]].tolist() == pytest.approx([0, 100, 100, 200], abs=2)


def test_what_erasing_did_by_hand(outputs):
    scores = run(outputs, [((0.0, 0.0, 50.0, 100.0),), ((0.0, 100.0, 100.0, 200.0),)])
    # First image: the second classifier repeats the first. Second: it adds as much again, half of all found.
    assert scores.images["added_2"].tolist() == [0.0, 0.5]
    assert scores.images["object_share_1"].tolist() == [1.0, 0.5]
    assert scores.images["object_share_2"].tolist() == [1.0, 0.5]
    assert scores.details["erasing"] == [
        {"added": 1.0, "object_share": 0.75},
        {"added": 0.25, "object_share": 0.75},
    ]
    # The object of an image without a box is not known.
    partly = run(outputs, [((0.0, 0.0, 50.0, 100.0),), None])
    assert partly.images["object_share_1"].isna().tolist() == [False, True]
    assert partly.details["erasing"][1] == {"added": 0.25, "object_share": 1.0}
    assert scores.metrics["overlap"] == 0.5  # the same region in the first image, disjoint ones in the second


def test_losses_are_each_classifiers_own(outputs):
    scores = run(outputs, [None, None])
    # Cross-entropies: first ln(1+e^-2), ln(1+e^2); second ln(1+e^-1) twice.
    first, second = np.mean(np.log1p(np.exp([-2, 2]))), np.log1p(np.exp(-1))
    assert scores.metrics["loss_1"] == pytest.approx(first)
    assert scores.metrics["loss_2"] == pytest.approx(second)
    assert scores.metrics["loss"] == pytest.approx(first + second)
    assert scores.images["loss_1"].tolist() == pytest.approx(np.log1p(np.exp([-2, 2])).tolist())


def test_without_boxes_only_label_free_numbers(outputs):
    scores = run(outputs, [None, None])
    assert {"coverage", "entropy", "overlap"} <= scores.metrics.keys()
    assert not [name for name in scores.metrics if "loc" in name or "box" in name or "px" in name]
    assert scores.iou_curves is None
    assert scores.images["iou"].isna().all()
    # The fused maps cover a quarter and a half of their images.
    assert scores.images["coverage"].tolist() == pytest.approx([0.25, 0.5], abs=0.01)


def test_a_threshold_is_chosen_on_validation_where_enough_images_have_boxes(outputs):
    boxes = [((0.0, 0.0, 50.0, 100.0),), ((0.0, 100.0, 100.0, 200.0),)]
    several = np.tile(region_curves(FusedMaps(outputs.sources(PP)), images(boxes)), (3, 1))
    scores = run(outputs, boxes, validation=several)
    assert scores.details["tau"]["used"] == "validation"
    assert {"gt_known_loc", "gt_known_loc_fixed", "gt_known_loc_oracle"} <= scores.metrics.keys()
    few = run(outputs, boxes, validation=several[: LEAST_BOXED - 1])
    assert few.details["tau"]["used"] == "fixed"
    assert few.metrics["gt_known_loc"] == scores.metrics["gt_known_loc_fixed"]
    # Flat curves tell no threshold from another: what is fixed stays, not the whole image at 0.
    flat = run(outputs, boxes, validation=np.ones((LEAST_BOXED, 1000)))
    assert flat.details["tau"]["validation"] == flat.details["tau"]["fixed"]


def test_masks_give_pixel_scores(outputs, tmp_path):
    mask = np.zeros((200, 100), np.uint8)
    mask[:100, :50] = 255
    Picture.fromarray(mask).save(tmp_path / "m.png")
    scores = run(outputs, [None, None], tmp_path, mask="m.png")
    of_images = scores.images["mean_pxap:cam"]
    assert scores.details["maps"] == {"cam": {"mean_pxap": of_images.mean()}}
    assert of_images[0] > of_images[1]  # the second image's map is elsewhere
    # The first image is found exactly; the second's map is elsewhere: half of the object pixels at full score, and
    # the false ones are twice the true ones.
    assert 0.2 < scores.metrics["pxap"] < 0.5


def test_a_rare_class_counts_as_much_as_a_common_one(outputs):
    logits = np.array([[[2.0, 0.0]] * 4])  # always the first class
    cams = np.repeat(outputs.cams[:1, :1], 4, axis=1)
    several = [Image(f"{n}.png", label, "test", str(n), 10, 10) for n, label in enumerate("aaab")]
    scores = evaluate(
        SplitOutputs(logits, cams, cams), several, CLASSES, Recipe("p"), Path(), fixed_tau=0.5, validation=None,
        faithful={}, resamples=100, seed=0,
    )  # fmt: skip
    assert (scores.metrics["accuracy_top1"], scores.metrics["balanced_accuracy"]) == (0.75, pytest.approx(0.5))


def test_where_the_maps_point_and_how_sure_the_answers_are(outputs):
    boxes = [((0.0, 0.0, 50.0, 100.0),), ((50.0, 100.0, 100.0, 200.0),)]
    scores = run(outputs, boxes)
    assert scores.metrics["pointing_game"] == 0.5  # the second map begins in the lower left quarter
    assert scores.metrics["mass_inside"] == pytest.approx((1 + 0.5) / 2, abs=0.1)
    sure = 1 / (1 + np.exp(-2))
    assert scores.metrics["calibration_error"] == pytest.approx(sure - 0.5)  # twice as sure, once right
    assert scores.images["probability"].tolist() == pytest.approx([sure, sure])
    unsure = evaluate(
        outputs, images(boxes), CLASSES, PP, Path(), fixed_tau=0.5, validation=None, faithful={}, resamples=100, seed=0,
        calibration=Calibration(temperature=4, most=0.6),
    )  # fmt: skip
    mixed = 0.2 / (1 + np.exp(-0.5)) + 0.8 / 2  # so that 1 would become 0.6
    assert unsure.images["probability"].tolist() == pytest.approx([mixed] * 2)
    assert unsure.metrics["calibration_error"] == scores.metrics["calibration_error"]
    assert unsure.metrics["calibration_error_scaled"] == pytest.approx(mixed - 0.5)
    low, high = unsure.details["intervals"]["calibration_error_scaled"]
    assert low == 0 < mixed - 0.5 < 0.3 < high  # two images say little
    assert unsure.details["calibration"]["most"] == 0.6


def test_every_accuracy_has_an_interval_around_it(outputs):
    scores = run(outputs, [((0.0, 0.0, 50.0, 100.0),), ((0.0, 100.0, 100.0, 200.0),)])
    names = {"accuracy_top1", "accuracy_top5", "gt_known_loc", "top1_loc", "max_box_acc_v2", "max_box_acc"}
    assert names <= scores.details["intervals"].keys()
    for name, (low, high) in scores.details["intervals"].items():
        assert low <= scores.metrics[name] <= high


def test_the_centred_box_stands_beside(outputs):
    box = (25.0, 50.0, 75.0, 150.0)  # half of each side, centred
    baseline = run(outputs, [(box,), (box,)]).details["centred_box"]
    assert baseline == dict.fromkeys(baseline, 1.0)
    assert set(baseline) == {"max_box_acc_v2", "max_box_acc_v2_30", "max_box_acc_v2_50", "max_box_acc_v2_70"}


def test_the_scores_are_of_the_chosen_map_and_plain_cam_stands_beside(outputs):
    # The object is the upper left quarter; the CAM of the second image is elsewhere, the features' norm is right.
    boxes = [((0.0, 0.0, 50.0, 100.0),)] * 2
    norm = np.stack([quadrant((0, 0))] * 2)
    found = replace(outputs, norms=dict.fromkeys(("norm", "middle", "late"), norm))
    scores = run(found, boxes, choice=Choice("cam+0.5late", "setting"), others=("norm", "cam+early+middle+late"))
    assert scores.details["map"] == "cam+0.5late"
    assert scores.details["map_choice"]["by"] == "setting"
    maps = scores.details["maps"]
    assert list(maps) == ["cam", "cam+0.5late", "cam+early+middle+late", "norm"]
    assert maps["cam+0.5late"]["max_box_acc_v2"] == scores.metrics["max_box_acc_v2"]
    plain = run(outputs, boxes)
    assert plain.details["map"] == "cam"
    assert plain.details["maps"] == {"cam": {"max_box_acc_v2": plain.metrics["max_box_acc_v2"]}}
    assert maps["cam"]["max_box_acc_v2"] == plain.metrics["max_box_acc_v2"] < maps["norm"]["max_box_acc_v2"] == 1
    assert maps["norm"]["gain"] == pytest.approx(1 - maps["cam"]["max_box_acc_v2"])
    np.testing.assert_allclose(scores.maps["map"][0], quadrant((0, 0)))
    without = run(found, [None, None], choice=Choice("cam+0.5late", "setting"))
    assert without.details["maps"] == {"cam": {}, "cam+0.5late": {}}


def test_maps_are_scored_at_the_protocols_size(outputs):
    maps = fused_maps(outputs.sources(PP))
    assert maps.shape == (2, MAP_SIZE, MAP_SIZE)
    assert maps.min() == 0
    assert maps.max() == 1


def test_localization_accuracy_is_of_the_box_that_users_get(outputs):
    # Two blocks, the larger one beside the object: the best box of every contour is right, the largest region's not.
    cams = np.zeros((2, 2, 16, 16), np.float32)
    cams[:, :, 1:5, 1:5], cams[:, :, 7:15, 7:15] = 1, 0.9
    found = SplitOutputs(outputs.logits, cams, cams)
    box = (6.25, 12.5, 31.25, 62.5)  # of the smaller block
    scores = run(found, [(box,), (box,)])
    assert scores.metrics["max_box_acc_v2_50"] == 1
    assert scores.metrics["gt_known_loc"] == scores.metrics["top5_loc"] == 0
    assert scores.images["iou"].tolist() == [0, 0]
    # Above the larger block's value the smaller is alone: the threshold that the test images would choose.
    assert scores.details["tau"]["oracle"] > 0.8
    assert scores.metrics["gt_known_loc_oracle"] == 1


def test_maps_of_any_method_are_scored_with_the_truth_alone(outputs):
    boxes = [((0.0, 0.0, 50.0, 100.0),), ((0.0, 100.0, 100.0, 200.0),)]
    whole = run(outputs, boxes)
    located = score_maps([fused_maps(outputs.sources(PP))], images(boxes), Path(), fixed_tau=0.5, resamples=100)
    for name in ("max_box_acc", "max_box_acc_v2", "gt_known_loc", "coverage"):
        low, high = whole.details["intervals"][name]
        assert located.intervals[name] == Interval(whole.metrics[name], low, high)
    assert "top1_loc" not in located.intervals


def test_images_without_boxes_have_no_part_in_what_boxes_score(outputs):
    boxed = ((0.0, 0.0, 50.0, 100.0),)
    scores = run(outputs, [boxed, None])
    assert scores.metrics["gt_known_loc"] == scores.metrics["top1_loc"] == scores.metrics["max_box_acc_v2"] == 1.0
    assert scores.metrics["accuracy_top1"] == 0.5  # of both images
    assert scores.details["annotated"] == {"images": 2, "boxes": 1, "masks": 0}
    assert np.isnan(scores.iou_curves[1]).all()
    assert np.isfinite(scores.iou_curves[0]).all()
    assert scores.images["iou"].isna().tolist() == [False, True]
    assert scores.details["maps"] == {"cam": {"max_box_acc_v2": 1.0}}
    assert scores.images["max_box_acc_v2:cam"].fillna(-1).tolist() == [1, -1]
    alone = SplitOutputs(*(array[:, :1] for array in (outputs.logits, outputs.cams, outputs.predicted_cams)))
    one = score_maps(FusedMaps(alone.sources(PP)), images([boxed, None])[:1], Path(), fixed_tau=0.5)
    assert one.details["centred_box"] == scores.details["centred_box"]
    assert one.intervals["pointing_game"].value == scores.metrics["pointing_game"]


def test_the_share_of_the_image_above_the_threshold(outputs):
    scores = run(outputs, [None, None])
    # The fused maps are 1 in one quarter of the first image and in two of the second; upsampling blurs their edges.
    assert scores.images["above_tau"].tolist() == pytest.approx([0.25, 0.5], abs=0.03)
