"""A run or ensemble as one module, from uint8 pixels to probabilities, in operations that every format can hold."""

import torch
from torch import nn

from touchstone.data.batches import View
from touchstone.evaluation.calibration import LEAST
from touchstone.export.description import ANY, Description
from touchstone.export.equivalents import with_equivalents
from touchstone.export.resampling import windows
from touchstone.models.predict import forward_tta
from touchstone.models.runs import Predictor


class ExportedNet(nn.Module):
    """The nets of all seeds and members, uint8 images -> (probabilities, calibrated[, labels]).

    Inputs and outputs are those of `Description`: images (N, H, W, C) of any size, or prepared images (N, P, P, C) or
    (N, 5, P, P, C) for each view. probabilities: float32 (N, K), as `touchstone predict` writes them, the mean over the
    seeds. calibrated: the same with each seed's temperature. labels: bool (N, K), where an image may have several.

    members: run -> the nets of its seeds, whose layers may be replaced by equal ones. combination: of an ensemble's
    members.
    """

    temperatures: torch.Tensor
    thresholds: torch.Tensor

    def __init__(
        self, description: Description, members: dict[str, list[Predictor]], combination: "Combine | None"
    ) -> None:
        super().__init__()
        self.description, self.combination = description, combination
        self.of_members = list(members.values())
        all_nets = [with_equivalents(net) for nets in self.of_members for net in nets]
        self.nets = nn.ModuleList(all_nets)  # whose tensors are exported
        self.register_buffer("temperatures", torch.tensor(description.temperatures, dtype=torch.float32))
        self.register_buffer("thresholds", torch.tensor(description.thresholds or [], dtype=torch.float32))

    def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pixels = self._pixels(images)
        stacked = []
        for nets in self.of_members:
            stacked.append(torch.stack([self._probs(net, pixels[net.view]) for net in nets]))  # (seeds, N, K)
        if self.combination is None:
            probs, mean = stacked[0], stacked[0].mean(0)
        else:
            probs, mean = self.combination(torch.stack(stacked))
        out = [mean, self._calibrated(probs).mean(0)]
        if self.description.multi_label:
            out.append(out[0] >= self.thresholds)
        return tuple(out)

    def example(self) -> tuple[torch.Tensor, ...]:
        """Return two images as inputs, for exporters that follow the operations on them."""
        one = self.description
        if one.images == ANY:
            return (torch.zeros(2, one.image_size + 7, one.image_size + 11, one.channels, dtype=torch.uint8),)
        shapes = [(2, *((view.num_crops,) if view.crop_px else ()), view.input_px, view.input_px) for view in one.seen]
        return tuple(torch.zeros(*shape, one.channels, dtype=torch.uint8) for shape in shapes)

    def _pixels(self, images: tuple[torch.Tensor, ...]) -> dict[View, torch.Tensor]:
        """The input of the nets before normalisation, float32 (N * crops, C, P, P), by view."""
        one = self.description
        if one.images == ANY:
            return {v: windows(images[0], size_px=one.image_size, mode=one.resize, view=v) for v in one.seen}
        flat = [given.flatten(0, 1) if view.crop_px else given for given, view in zip(images, one.seen, strict=True)]
        return {view: given.permute(0, 3, 1, 2).float() for view, given in zip(one.seen, flat, strict=True)}

    def _probs(self, predictor: Predictor, pixels: torch.Tensor) -> torch.Tensor:
        x = (pixels - predictor.mean) / predictor.std
        multi_label = predictor.multi_label
        logits = forward_tta(
            predictor.net,
            x,
            num_crops=predictor.view.num_crops,
            mean=False,
            flips=predictor.test_flips,
            shift=predictor.test_shift,
            multi_label=multi_label,
        )
        return torch.sigmoid(logits) if multi_label else torch.softmax(logits, 1)

    def _calibrated(self, probs: torch.Tensor) -> torch.Tensor:
        """The probabilities (seeds, N, K) at their temperatures, see evaluation/calibration.py."""
        clipped, divisors = probs.clamp(LEAST, 1 - LEAST), self.temperatures[:, None, None]
        if self.description.multi_label:
            return torch.sigmoid((clipped.log() - (1 - clipped).log()) / divisors)
        return torch.softmax(clipped.log() / divisors, 2)


class Combine(nn.Module):
    """evaluation/ensembles.py's `combine`: (members, seeds, N, K) -> (seeds, N, K), and the mean over seeds (N, K).

    Votes are counted over the seeds before they are divided, so classes that tie have equal probabilities.

    preferred: the place of the member that decides ties. thresholds: (members, K), by which members vote on each of
    several labels. weights: (members,).
    """

    thresholds: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self,
        rule: str,
        *,
        preferred: int,
        thresholds: list[list[float]] | None = None,
        weights: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.rule, self.preferred, self.weighted = rule, preferred, weights is not None
        self.by_label = thresholds is not None
        self.register_buffer("weights", torch.tensor(weights or [], dtype=torch.float32))
        self.register_buffer("thresholds", torch.tensor(thresholds or [], dtype=torch.float32))

    def forward(self, stack: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.weighted or self.rule == "mean":
            probs = (stack * self.weights[:, None, None, None]).sum(0) if self.weighted else stack.mean(0)
            return probs, probs.mean(0)
        count = self._majority_of_labels(stack) if self.by_label else self._majority(stack)
        part, total = 0.5 if self.by_label else 1 / stack.shape[-1], len(stack) + 2
        return (count + part) / total, (count.sum(0) / stack.shape[1] + part) / total

    def _majority_of_labels(self, stack: torch.Tensor) -> torch.Tensor:
        """The number of votes for each label, with one more for the decision."""
        voted = (stack >= self.thresholds[:, None, None]).float()
        count, number = voted.sum(0), len(stack)
        decision = torch.where(2 * count == number, voted[self.preferred], (2 * count > number).float())
        return count + decision

    def _majority(self, stack: torch.Tensor) -> torch.Tensor:
        """The number of votes for each class, with one more for the decision."""
        places = torch.arange(stack.shape[-1])
        votes = (stack.argmax(-1)[..., None] == places).float().sum(0)  # (seeds, N, K)
        most = votes == votes.amax(-1, keepdim=True)
        decision = torch.where(most, stack[self.preferred], torch.full_like(votes, -1.0)).argmax(-1)
        chosen = (decision[..., None] == places).float()
        return votes + chosen
