from .data.loading import load_split as load_split
from .data.transforms import Preprocessing as Preprocessing
from .errors import InputError as InputError
from .ingest.folder import read_folder as read_folder
from .localization.maps import localization_map as localization_map
from .losses import adversarial_loss as adversarial_loss, complementary_loss as complementary_loss
from .network.checkpoint import ModelCard as ModelCard, load_model as load_model, save_model as save_model
from .network.model import ACoL as ACoL, ACoLOutput as ACoLOutput
from .prediction.predictor import Prediction as Prediction, Predictor as Predictor
from .recipe import Recipe as Recipe
from .training.loop import Training as Training
from .training.settings import TrainingSettings as TrainingSettings
