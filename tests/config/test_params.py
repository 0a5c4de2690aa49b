from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kit.params import DEFAULT, load, message
from kit.project import ROOT
from touchstone.config import resolved, yaml
from touchstone.config.load import load as load_params
from touchstone.config.schema.model import Model
from touchstone.config.settings import load_settings
from touchstone.errors import TouchstoneError


@pytest.mark.parametrize("recipe", ["", *sorted(path.parent.name for path in ROOT.glob("recipes/*/params.yaml"))])
def test_the_default_and_every_recipe_are_valid(recipe: str) -> None:
    file = ROOT / "recipes" / recipe / "params.yaml" if recipe else ROOT / "params.yaml"
    settings = load_params(file)
    assert settings.runs
    assert "\n-" not in file.read_text().replace("\n  - ", ""), "list dashes as DVC writes them"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("train.lrr=0.1", ["train.lrr", "unknown key (value 0.1)", "known keys:", "did you mean lr?"]),
        ("models.simple.bach_size=8", ["models.simple.bach_size", "unknown key", "did you mean batch_size?"]),
        ("data.image_sise=8", ["data.image_sise", "did you mean image_size?"]),
        ("transforms.brighter.brightnes=1", ["transforms.brighter.brightnes", "did you mean brightness?"]),
        ("trian.lr=1", ["trian: unknown key", "did you mean train?"]),
        ("train.lr=-0.1", ["train.lr", "got -0.1", "a number above 0, or auto"]),
        ("models.simple.lr=-0.1", ["models.simple.lr", "got -0.1", "a number above 0, or auto"]),
        ("train.optimizer=nadan", ["train.optimizer: got 'nadan'", "did you mean nadam?"]),
        ("models.simple.optimizer=adadelda", ["models.simple.optimizer", "did you mean adadelta?"]),
        ("train.schedule=cosin", ["train.schedule", "did you mean cosine?"]),
        ("train.engine=pytorch", ["train.engine: got 'pytorch'", "'torch'"]),
        ("train.accumulate=0", ["train.accumulate: got 0", "a number of batches from 1 on"]),
        ("train.clip_norm=-0.5", ["train.clip_norm: got -0.5", "greater than or equal to 0"]),
        ("train.jitter_hue=0.2", ["jitter_hue", "data.channels is 1, grey images have no colours"]),
        ("transforms.brighter.saturation=2", ["transforms.brighter.saturation", "grey images have no colours"]),
        ("train.swa_share=0.2", ["train", "set select to last"]),
        ("train.layer_decay=1.5", ["train.layer_decay: got 1.5", "less than or equal to 1"]),
        (
            "models.simple={layer_decay: 0.7, weights: random, trainable: [head]}",
            ["models.simple.layer_decay: got 0.7", "trainable: head leaves no blocks", "set 1, or train more"],
        ),
        ("models.simple.warmup_epochs=1", ["models.simple", "one_cycle warms up by itself"]),
        ("train.lr=auto", ["audit.encoder.lr: got auto, its own or that of train", "give it another lr"]),
        ("audit.encoder.lr=auto", ["audit.encoder.lr: got auto"]),
        ("train.schedule=plateau", ["audit.encoder.schedule: got plateau"]),
        ("audit.encoder.jitter_hue=0.1", ["audit.encoder.jitter_hue", "grey images have no colours"]),
        ("train.accumulate=many", ["train.accumulate: got 'many'"]),
        ("train.budget=equal_epoch", ["train.budget: got 'equal_epoch'", "did you mean equal_epochs?"]),
        ("audit.encoder.budget=equal_epochs", ["audit.encoder.budget", "is not for the encoder"]),
        ("train.warmup_epochs=.inf", ["train.warmup_epochs: got inf", "finite"]),
        (
            "models.simple.phases=[{num_steps: 5, lr: auto}, {num_steps: 5}]",
            ["models.simple.lr", "give each phase its lr"],
        ),
        ("cluster.partitions=gpu", ["cluster.partitions: unknown key", "did you mean partition?"]),
        ("cluster.stages={train: {gpus: -1}}", ["cluster.stages.train.gpus: got -1"]),
        ("machine.loggers=[mlflow]", ["machine.loggers", "'tensorboard' or 'wandb'"]),
        ("train.batch_size=many", ["train.batch_size", "'many'", "integer"]),
        ("train.batch_size=8.5", ["train.batch_size", "8.5", "integer"]),
        ("train.hflip=yes", ["train.hflip", "'yes'", "boolean"]),
        ("train.optimizer=adamm", ["train.optimizer", "'adamm'", "'adam'", "'sgd'"]),
        ("data.val_fraction=1.5", ["data.val_fraction", "1.5", "less than 1"]),
        ("data.fold=6 of 5", ["data.fold", "6 of 5", "k of n"]),
        ("train.epochs=3", ["train", "exactly one of num_steps and epochs"]),
        ("models.simple.seeds=[1]", ["models.simple.seeds"]),
        ("arms.fixed.add=[tilt_lef]", ["arms.fixed.add", "'tilt_lef'", "did you mean tilt_left?"]),
        ("compare.baseline=reel", ["compare.baseline", "'reel'", "did you mean real?"]),
        ("compare.control=reel", ["compare.control", "'reel'", "did you mean real?"]),
        ("compare.control=real", ["compare.control", "got 'real', the baseline; name another arm"]),
        ("ensembles.vote.members=[lenet-real, simple-rael]", ["ensembles.vote.members", "did you mean simple-real?"]),
        ("ensembles.vote.prefer=simple-real", ["ensembles.vote.prefer", "expected one of lenet-real"]),
        ("ensembles.vote.prefer=''", ["ensembles.vote.prefer", "majority vote needs"]),
        ("ensembles.vote.members=[lenet-real, lenet-real]", ["ensembles.vote", "is listed twice"]),
        ("explain.runs=[lenet-rael]", ["explain.runs", "'lenet-rael'", "did you mean lenet-real?"]),
        ("explain.methods=[deeplift]", ["explain.methods", "'deeplift'", "'deep_lift'"]),
        ("explain.choose=best", ["explain.choose", "'worst' or 'confident'"]),
        ("explain={classes: ['1'], files: [a]}", ["explain.classes", "explain.files names the images"]),
        ("explain.pictures=data/external/none", ["explain.pictures", "expected data/external/own, or a folder"]),
        ("explain.pictures=data/external/own/../none", ["explain.pictures", "where DVC sees it change"]),
        ("transforms={}", ["transforms", "at least 1"]),
        ("data.image_size=20", ["generators.dcgan", "8, 16, 32, 64, 128 px", "got data.image_size 20"]),
        ("generators.ddpm.fit.multipliers=[1, 1, 1, 1, 1, 1]", ["generators.ddpm", "multiple of 32 or fewer"]),
        ("generators.ddpm.fit.num_timesteps=0", ["generators.ddpm.fit.num_timesteps", "got 0", "greater than"]),
        ("generators.ddpm.fit.num_timesteps=5", ["num_inference_steps 10 is above fit.num_timesteps 5"]),
        ("generators.ddpm.sample.num_inference_steps=0", ["sample.num_inference_steps", "got 0"]),
        (
            "generators.ddpm.sample.num_inference_steps=2000",
            ["num_inference_steps 2000 is above fit.num_timesteps 1000"],
        ),
        ("generators.ddpm.sample.guidance_weight=1.8", ["guidance_weight 1.8", "set fit.label_drop above 0"]),
        ("generators.ddpm.fit.beta_start=0.5", ["generators.ddpm.fit", "beta_end 0.02 is below beta_start 0.5"]),
        ("generators.ddpm.fit.attention=[5]", ["generators.ddpm", "attention 5", "levels have [16, 8, 4] px"]),
        ("generators.ddpm.fit.epochs=3", ["generators.ddpm.fit", "exactly one of num_steps and epochs"]),
        ("generators.dcgan.sample.per_class=0", ["generators.dcgan.sample.per_class", "got 0", "equal to 1"]),
        ("generators.dcgan.fit.beta_2=0", ["generators.dcgan.fit.beta_2", "unknown key", "did you mean beta1?"]),
        ("generators.dcgan.kind=3", ["generators.dcgan.kind: got 3, expected one of dcgan, ddpm"]),
        ("generators.dcgan.kind=null", ["generators.dcgan.kind: got None"]),
        ("generators.ddpm.sample={per_class: 9, sampler: ddim, num_inference_steps: 30}", ["30 does not divide"]),
        (
            "generators.ddpm={fit: {num_steps: 1, prediction: edm}, sample: {per_class: 9, sampler: ddim}}",
            ["generators.ddpm", "sample.sampler ddim needs timesteps", "use heun or dpmsolver"],
        ),
        ("generators.ddpm.fit.prediction=edm", ["min_snr_gamma 5 weighs timesteps", "take it out"]),
        ("generators.dcgan.kind=dcgn", ["generators.dcgan.kind", "'dcgn'", "did you mean dcgan?"]),
        (
            "generators={repeat: {kind: dcgan, fit: {num_steps: 1}, sample: {per_class: 1}}}",
            ["generators.repeat", "a transform has that name"],
        ),
        ("arms.ddpm.add=[dpm]", ["arms.ddpm.add", "'dpm'", "did you mean ddpm?"]),
        ("arms.ddpm_only.schedule=pretrain", ["arms.ddpm_only.schedule", "needs real images and added ones"]),
        ("audit.encoder.nett=lenet", ["audit.encoder.nett", "unknown key", "did you mean net?"]),
        ("audit.encoder.seeds=[1]", ["audit.encoder.seeds", "is not for the encoder", "trained with audit.seed"]),
        ("audit.encoder.select=val_loss", ["audit.encoder.select", "is not for the encoder"]),
        ("models.simple.phases=[]", ["models.simple.phases", "at least 1 item"]),
        (
            "models.simple={weights: random, phases: [{epochs: 1, lrr: 2}]}",
            ["models.simple.phases.0.lrr", "did you mean lr?"],
        ),
        ("models.simple={weights: random, phases: [{lr: 1}]}", ["models.simple.phases.0", "exactly one of num_steps"]),
        ("models.simple={phases: [{epochs: 1}], epochs: 3}", ["models.simple: phases have budgets of their own"]),
        ("models.simple.trainable=[]", ["models.simple.trainable", "at least 1 item"]),
        ("models.simple.trainable=[head, head]", ["models.simple.trainable", "'head' is listed twice"]),
        ("models.simple.batch_norm=frozen", ["models.simple", "batch_norm frozen, and no weights"]),
        ("models.simple.crops=ten", ["models.simple.crops", "'ten'", "'centre' or 'five'"]),
        ("models.simple.crop_size=8", ["models.simple.crop_size: belongs to five crops; set crops to five"]),
        (
            "models.simple={input_size: 32, crops: five}",
            ["models.simple.input_size: got five crops of 32 px, data.image_size is 16", "larger than the images"],
        ),
        (
            "models.simple={input_size: 16, crops: five, crop_padding: 1}",
            ["models.simple.crop_padding: is not for five crops", "set crops to centre"],
        ),
        ("models.simple={input_size: 16, crops: five, cutmix: 1.0}", ["models.simple.cutmix: is not for five crops"]),
        (
            "models.simple={crops: five, crop_size: 16}",
            ["models.simple.crop_size: got five crops of 16", "all the same"],
        ),
        ("audit.encoder.crops=five", ["audit.encoder.input_size", "larger than the images; set crop_size below it"]),
        (
            "multi_label.difficult=marked",
            ["multi_label.difficult", "'ignore', 'count' or 'mark'", "did you mean mark?"],
        ),
        ("data.bits=12", ["data.bits: got 12, should be 8 or 16"]),
        ("data.channels=65", ["data.channels: got 65, should be less than or equal to 64"]),
        ("data.channels=0", ["data.channels: got 0, should be greater than or equal to 1"]),
        ("data.white=4095", ["data.white", "data.bits is 8; set data.bits to 16"]),
        ("data={bits: 16, white: 70000}", ["data.white: got 70000, should be less than or equal to 65535"]),
        ("transforms={x: {hue: 0.1}}", ["transforms.x.hue: data.channels is 1, grey images have no colours"]),
        (
            "models.simple.weights=imagenet",
            ["models.simple.weights: imagenet's nets see 3 channels, and data.channels is 1", "weights to none or"],
        ),
        (
            "models.simple={net: mobilenet_v2, input_size: 32, weights: IMAGENET1K_V2, normalisation: data}",
            ["models.simple.weights: imagenet's nets see 3 channels, and data.channels is 1", "weights to none or"],
        ),
        ("compare.tail_from=1", ["compare.tail_from", "less than 1"]),
        ("models.simple.weights=/tmp/w.pth", ["models.simple.weights", "or a file in data/weights"]),
        ("models.simple.weights=imagnet", ["models.simple.weights", "'imagnet'", "expected none, random, imagenet"]),
        ("models.simple.weights_sha256=abc", ["models.simple.weights_sha256", "pattern"]),
        ("models.simple={crop_padding: 2, crop_scale: 0.5}", ["models.simple", "crop_padding or crop_scale, not both"]),
        ("audit.encoder.weights=elsewhere/net.pth", ["audit.encoder.weights", "a file in data/weights"]),
        ("models.simple.init_from=lenet-real", ["models.simple.init_from", "is for finetunes"]),
        ("data.path=images", ["data.path: this key has moved; write source.path"]),
        ("train.seeds=[0, 1]", ["train.seeds: this key has moved; write train.replicates, a number"]),
        ("train.replicates=0", ["train.replicates", "greater than or equal to 1"]),
        ("train.vary=al", ["train.vary", "'seed', 'generator' or 'all'", "did you mean all?"]),
        ("models.simple.replicates=2", ["models.simple.replicates", "unknown key"]),
        ("models.simple.seeds=[1]", ["models.simple.seeds", "set train.replicates"]),
        ("data.mirror=images", ["data.mirror: this key has moved; write source.mirror"]),
        ("arms.empty={real: false}", ["arms.empty", "nothing to train on"]),
        ("arms.a-b={}", ["arms.a-b", "pattern"]),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_remedy(tmp_path: Path, change: str, parts: list[str]) -> None:
    text = message(tmp_path, change)
    assert [part for part in parts if part not in text] == [], text


def test_new_training_images_want_a_number_of_them(tmp_path: Path) -> None:
    text = message(tmp_path, "train.vary=all", "train.replicates=3", "data.train_size=0")
    assert text.startswith("params.yaml: train.vary: all draws data.train_size images anew"), text


def test_the_filters_are_as_many_as_the_sets_of_training_images(tmp_path: Path) -> None:
    for vary, number in (("seed", 1), ("generator", 1), ("all", 3)):
        settings = load(tmp_path, f"train.vary={vary}", "train.replicates=3", "data.train_size=100")
        first = settings.audit.seed
        assert settings.audit.encoder.seeds == (first, *range(first + 1, first + 1 + number))
        assert settings.trained["lenet"].seeds == (0, 1, 2)


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    assert "(and 1 more)" in message(tmp_path, "train.lr=-1", "data.image_size=1")


def test_a_missing_key_and_a_key_twice(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"data\.source: this key is missing"):
        load(tmp_path, text=DEFAULT.replace("  source: digits\n", ""))
    misspelt = r"data\.sorce: unknown key .*did you mean source\? \(and 1 more\)"
    with pytest.raises(TouchstoneError, match=misspelt):
        load(tmp_path, text=DEFAULT.replace("  source: digits\n", "  sorce: digits\n"))
    with pytest.raises(TouchstoneError, match="'seed' stands twice"):
        load(tmp_path, text=DEFAULT + "seed: 1\n")
    with pytest.raises(TouchstoneError, match="not YAML"):
        load(tmp_path, text="a: [1")
    with pytest.raises(TouchstoneError, match="no such file"):
        load_params(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    "scalar",
    [
        "1e-05",
        "1E5",
        "off",
        "yes",
        "No",
        "on",
        "null",
        "~",
        "0o17",
        "0x1f",
        "1_000",
        ".5",
        "5.",
        "+3",
        "010",
        "1:30",
        "true",
    ],
)
def test_scalars_are_read_as_dvc_reads_them(scalar: str) -> None:
    dvc = YAML(typ="safe", pure=True).load(f"v: {scalar}")["v"]
    mine = yaml.parse(f"v: {scalar}")["v"]
    assert (mine, type(mine)) == (dvc, type(dvc))


def test_a_learning_rate_in_exponent_form_is_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, "train.lr=1e-05").train.lr == 1e-5


def test_a_model_overrides_train_and_its_budget_replaces_the_default(tmp_path: Path) -> None:
    settings = load(tmp_path, "models.simple={lr: 0.5, epochs: 3}")
    simple, lenet = settings.trained["simple"], settings.trained["lenet"]
    [phase] = simple.phases
    assert (phase.lr, phase.epochs, phase.num_steps, simple.input_size) == (0.5, 3, 0, 16)
    [phase] = lenet.phases
    assert (phase.lr, phase.num_steps, lenet.net) == (settings.train.lr, settings.train.num_steps, "lenet")


def test_a_phase_takes_from_the_model_what_it_does_not_say_but_has_its_own_budget(tmp_path: Path) -> None:
    phases = "[{num_steps: 5, lr: 0.1}, {epochs: 2, trainable: [head]}]"
    settings = load(tmp_path, f"models.simple={{lr: 0.5, hflip: true, weights: random, phases: {phases}}}")
    first, second = settings.models["simple"].phases
    assert (first.lr, first.num_steps, first.epochs, first.hflip, first.trainable) == (0.1, 5, 0, True, ("all",))
    assert (second.lr, second.num_steps, second.epochs, second.hflip, second.trainable) == (0.5, 0, 2, True, ("head",))
    assert second.schedule == settings.train.schedule


def test_with_equal_epochs_an_arm_makes_as_many_passes_as_the_real_images(tmp_path: Path) -> None:
    phases = "[{num_steps: 5}, {epochs: 2}]"
    settings = load(tmp_path, f"models.simple={{eval_steps: 4, budget: equal_epochs, phases: {phases}}}")
    simple, lenet = settings.models["simple"], settings.models["lenet"]
    larger = simple.on_images(500, num_real=200)
    assert [phase.num_steps for phase in larger.phases] == [12, 0], "epochs are passes over the arm's own images anyway"
    assert (larger.phases[1].epochs, larger.eval_steps) == (2, 10), "validated as often"
    assert simple.on_images(200, num_real=200) == simple
    assert simple.on_images(1, num_real=200).phases[0].num_steps == 1
    assert lenet.on_images(500, num_real=200) == lenet, "equal steps are the default"


def test_equal_epochs_want_a_baseline_of_real_images_alone(tmp_path: Path) -> None:
    load(tmp_path, "train.budget=equal_epochs")
    with pytest.raises(
        TouchstoneError, match=r"models\.lenet\.budget: equal_epochs .* the baseline fixed is not these"
    ):
        load(tmp_path, "models.lenet.budget=equal_epochs", "compare.baseline=fixed")


def test_resolved_settings_are_the_same_after_a_file(tmp_path: Path) -> None:
    """A stage reads the resolved settings, for every recipe."""
    for file in [ROOT / "params.yaml", *ROOT.glob("recipes/*/params.yaml")]:
        settings = load_params(file)
        sections = {name: getattr(settings, name) for name in type(settings).model_fields}
        resolved.write(tmp_path / "all.json", sections)
        assert load_settings("all", folder=tmp_path) == settings
        for name, model in settings.trained.items():
            resolved.write(tmp_path / f"models/{name}.json", model)
            assert resolved.load(Model, f"models/{name}", folder=tmp_path) == model


def test_a_stage_reads_the_sections_it_names_and_no_other(tmp_path: Path) -> None:
    resolved.write(tmp_path / "mine.json", {"seed": 3, "data": {"source": "digits"}})
    settings = load_settings("mine", folder=tmp_path)
    assert (settings.seed, settings.data.source) == (3, "digits")
    with pytest.raises(AttributeError):
        assert settings.train
    with pytest.raises(AttributeError):
        assert settings.data.image_size


def test_sections_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).train.lr = 1.0


def test_the_encoder_is_a_model_like_any_other_but_for_its_seeds_and_its_end(tmp_path: Path) -> None:
    changes = "train.label_smoothing=0.1", "audit.encoder.lr=0.5", "train.replicates=4", "train.vary=seed"
    settings = load(tmp_path, *changes)
    encoder, lenet = settings.audit.encoder, settings.models["lenet"]
    assert encoder.phases[0].label_smoothing == 0.1
    assert encoder.phases[0].lr == 0.5
    assert encoder.seeds == (settings.audit.seed, settings.audit.seed + 1)
    assert (encoder.select, encoder.eval_steps, encoder.on_divergence) == ("last", 0, "fail")
    own = {"phases": encoder.phases, "seeds": encoder.seeds, "select": "last", "eval_steps": 0, "on_divergence": "fail"}
    assert encoder == lenet.model_copy(update=own)


def test_a_plus_before_a_change_means_what_it_means_to_dvc(tmp_path: Path) -> None:
    assert load(tmp_path, "+train.patience=3").train.patience == 3
    assert load(tmp_path, "++train.patience=4").train.patience == 4
