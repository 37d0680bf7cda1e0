from .accuracy import Classification as Classification, classification as classification, top_k_correct as top_k_correct
from .boxes import gt_boxes_for_map as gt_boxes_for_map
from .calibration import (
    Calibration as Calibration,
    calibration_error as calibration_error,
    fit_calibration as fit_calibration,
)
from .comparison import (
    Difference as Difference,
    compare as compare,
    holm as holm,
    over_seeds as over_seeds,
    smallest_difference as smallest_difference,
    times_needed as times_needed,
)
from .curves import (
    box_iou_curve as box_iou_curve,
    box_iou_curves as box_iou_curves,
    choose_tau as choose_tau,
    iou_at as iou_at,
    taus_of as taus_of,
)
from .intervals import Interval as Interval, max_interval as max_interval, mean_interval as mean_interval
from .pxap import (
    MaskResult as MaskResult,
    PxAP as PxAP,
    pixel_counts as pixel_counts,
    pixel_intervals as pixel_intervals,
)
from .max_box_acc import (
    MaxBoxAccV2 as MaxBoxAccV2,
    MaxBoxAccV2Result as MaxBoxAccV2Result,
    centred_box as centred_box,
    centred_box_curves as centred_box_curves,
)
from .perturbation import average_drop as average_drop, deletion as deletion, insertion as insertion
from .quality import (
    box_mask as box_mask,
    complementarity as complementarity,
    coverage as coverage,
    entropy as entropy,
    mass_inside as mass_inside,
    object_share as object_share,
    overlap as overlap,
    pointing as pointing,
)
from .scored import MaxScore as MaxScore, MeanScore as MeanScore
