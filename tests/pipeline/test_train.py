"""What makes two trainings the same job, so that one may go on where the other was stopped."""

from dataclasses import replace

import torch

from acol.network.imagenet import ImageNetClassifier
from tests.faults.tiny import job_on, write_images


def test_a_job_is_another_with_other_classifiers_to_start_from(tmp_path):
    write_images(tmp_path)
    job = job_on(tmp_path)
    starts = [None, *(ImageNetClassifier(torch.full((1000, 4), value), torch.zeros(1000)) for value in (0.0, 0.1, 0.1))]
    keys = [replace(job, classifier=start).key(1) for start in starts]
    assert keys[0] == job.key(1)
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3
