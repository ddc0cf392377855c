"""The nets that the README's figures are of: convolutional ones of the zoo, as every checkout can build them."""

NETS = (
    "zoo:mobilenet_v1",
    "zoo:mobilenet_v2",
    "zoo:mobilenet_v3_large",
    "zoo:efficientnet_lite0",
    "zoo:shufflenet_v2",
    "zoo:squeezenet",
    "zoo:resnet18",
    "zoo:resnet50",
    "zoo:blazeface_like",
    "zoo:face_landmark_like",
)
